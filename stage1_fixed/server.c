/*
 * Stage 1, fixed: a TCP server that answers every request with "hello world".
 * See it:  ./stage1_fixed/server, and in a second terminal curl -i http://127.0.0.1:8080/
 * Not yet: every page is "hello world".
 */
#define _POSIX_C_SOURCE 200809L
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum {
    PORT = 8080,
    BACKLOG = 4096,  /* connections that may wait for accept(); the kernel may allow fewer */
    MAX_HEAD = 8192, /* bytes in the head of a request */
    MAX_LOG = 1024,  /* bytes of a request that are logged */
    PATIENCE = 5000, /* milliseconds that a client may keep us waiting */
};

/* The head of every answer, the blank line that ends it, and the page. */
static const char HELLO[] = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello world";

/* The time in milliseconds, from a clock that nobody sets. */
static long long now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time); /* cannot fail: the clock exists */
    return time.tv_sec * 1000LL + time.tv_nsec / 1000000;
}

/* True when a call gave up without a result, and nothing is wrong with the connection. */
static bool try_again(void)
{
    return errno == EINTR || errno == EAGAIN || errno == EWOULDBLOCK;
}

/* The length of the head at the start of text, with the blank line that ends it; 0 while that
 * line has not come. A line ends with CR LF; typed into nc, it ends with LF alone. */
static size_t head_length(const char *text, size_t length)
{
    for (size_t i = 2; i < length; i++)
        if (text[i] == '\n' &&
            (text[i - 1] == '\n' || (text[i - 1] == '\r' && text[i - 2] == '\n')))
            return i + 1;
    return 0;
}

/* Receives a request up to its blank line, and puts a 0 behind it. Returns the bytes received, 0
 * if the client left or was too slow. Without a blank line, its head is longer than MAX_HEAD. */
static size_t receive_head(int client, char *text)
{
    long long deadline = now() + PATIENCE;
    size_t length = 0;
    while (now() < deadline && length < MAX_HEAD && head_length(text, length) == 0) {
        ssize_t count = recv(client, text + length, MAX_HEAD - length, 0);
        if (count < 0 && try_again()) continue;
        if (count <= 0) return 0;
        length += (size_t)count;
        text[length] = '\0';
        size_t blank = strspn(text, "\r\n"); /* empty lines before a request are skipped */
        length -= blank;
        memmove(text, text + blank, length + 1);
    }
    return now() < deadline ? length : 0;
}

/* One line a request: its first two words. What is not printable becomes '?', so that no
 * client writes on our terminal. */
static void log_request(const char *text, size_t length, int status)
{
    char words[MAX_LOG];
    size_t used = 0;
    for (int spaces = 0; used < length && used < MAX_LOG; used++) {
        char byte = text[used];
        if (byte == '\r' || byte == '\n' || (byte == ' ' && ++spaces == 2)) break;
        words[used] = byte >= ' ' && byte <= '~' ? byte : '?';
    }
    printf("[%ld] %.*s %d\n", (long)getpid(), (int)used, words, status);
}

/* Sends all of it: send() may take less than it is given. False when the client left, or took
 * nothing for too long. */
static bool send_all(int client, const char *bytes, size_t length)
{
    long long deadline = now() + PATIENCE;
    while (length > 0) {
        ssize_t count = send(client, bytes, length, 0);
        if (count < 0 && try_again() && now() < deadline) continue;
        if (count < 0) return false;
        bytes += count;
        length -= (size_t)count;
        deadline = now() + PATIENCE;
    }
    return true;
}

/* Answers a request. False when the client did not get it all. */
static bool respond(int client, const char *text, size_t length)
{
    log_request(text, length, 200);
    return send_all(client, HELLO, strlen(HELLO));
}

/* Ends an answer, and throws away what the client still sends: close() with unread input would
 * reset the connection, and a reset destroys an answer on its way. */
static void drain(int client)
{
    long long deadline = now() + PATIENCE;
    char scrap[4096];
    ssize_t count = 1;
    shutdown(client, SHUT_WR); /* fails if the client is gone; recv() tells */
    while (now() < deadline && (count > 0 || (count < 0 && try_again())))
        count = recv(client, scrap, sizeof scrap, 0);
}

/* Serves one client, and closes its connection. */
static void handle_client(int client)
{
    char text[MAX_HEAD + 1];
    /* No call waits longer than a second: then the loops above look at the clock. */
    struct timeval second = {.tv_sec = 1};
    if (setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &second, sizeof second) < 0 ||
        setsockopt(client, SOL_SOCKET, SO_SNDTIMEO, &second, sizeof second) < 0)
        perror("setsockopt");
    else {
        size_t length = receive_head(client, text);
        if (length > 0 && respond(client, text, length)) drain(client);
    }
    close(client); /* whatever it returns, the descriptor is free */
}

/* Waits for the next client. Returns its socket, or -1. Nothing that a client does ends the
 * server; when it is out of descriptors, it waits until some are free. */
static int accept_client(int listener)
{
    int client = accept(listener, NULL, NULL);
    if (client < 0 && errno != EINTR && errno != ECONNABORTED) {
        perror("accept");
        sleep(1);
    }
    return client;
}

/* Says what failed, and why. Returns the exit status. */
static int fail(const char *what)
{
    perror(what);
    return 1;
}

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, BUFSIZ); /* a line is seen at once, in a pipe too */
    signal(SIGPIPE, SIG_IGN);              /* to send to a closed socket is an error, no more */
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    if (listener < 0) return fail("socket");
    /* Connections of the last run linger for a minute; the port is ours all the same. */
    int yes = 1;
    if (setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) < 0)
        return fail("setsockopt");
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    address.sin_addr.s_addr = inet_addr("127.0.0.1"); /* only this machine gets in */
    if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0)
        return fail("bind 127.0.0.1:8080");
    if (listen(listener, BACKLOG) < 0) return fail("listen");
    printf("listening on http://127.0.0.1:%d/\n", PORT);

    for (;;) {
        int client = accept_client(listener);
        if (client >= 0) handle_client(client);
    }
}
