/*
 * Stage 1, fixed: a TCP server that answers every request with "hello world".
 *
 * New:     the system calls of a TCP server: socket, bind, listen, accept, recv, send, close; and
 *          the blank line that ends the head of a request.
 * Read:    main(), fail(), handle_client(), receive_head(), find_head_end(), send_all().
 * See it:  start ./stage1_fixed/server, and in a second terminal curl -i http://127.0.0.1:8080/
 *          curl prints what stands in HELLO. The server prints a line for each request.
 * Not yet: every page is "hello world".
 */
#define _POSIX_C_SOURCE 200809L /* the headers declare what POSIX adds to C, too */
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum {
    PORT = 8080,     /* the message of bind() names it, too */
    MAX_HEAD = 8192, /* bytes in the head of a request */
    TIMEOUT = 5,     /* seconds that one recv() or send() waits for a client */
};

/* The response to every request. Its head is the status line, which says that all is well, and one
 * header field; each of these lines ends with the two bytes CR LF, "\r\n" in C. A blank line ends
 * the head. Then comes the body: the page. */
static const char HELLO[] = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello world";

/* A declaration: main() may call this function, which is defined at the end of the program. */
static void handle_client(int client);

/* Says which call has failed, and why. Returns the exit status of the program. A program asks the
 * kernel, the core of the operating system, with system calls such as socket(). One that fails
 * returns -1, and leaves the number of the error in errno; perror() prints its text on stderr. */
static int fail(const char *call)
{
    perror(call);
    return 1;
}

/* Starts the server, and then serves one client after another, for ever. */
int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, BUFSIZ); /* print each line at once, also into a file or a pipe */
    /* A signal is a short message from the kernel to a process. SIGPIPE says: you have sent to a
     * client that has left. It would end the server. If the server ignores it, send() fails, and
     * that is all. (setvbuf() and signal() cannot fail with these arguments.) */
    signal(SIGPIPE, SIG_IGN);
    /* socket() makes a socket, one end of a connection, and returns its descriptor: the number by
     * which this process knows it. This one will be the listener, where connections arrive. AF_INET
     * and SOCK_STREAM mean TCP, with addresses such as 127.0.0.1 (IPv4). */
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    if (listener < 0) return fail("socket");
    /* When a server has ended, the kernel keeps its last connections for a minute (the state
     * TIME_WAIT). SO_REUSEADDR lets a new server bind to the port all the same. (If setsockopt()
     * fails, bind() may too.) */
    int on = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    /* INADDR_LOOPBACK is 127.0.0.1: an address that can be reached from this machine alone. htons()
     * and htonl() put the bytes of a number into the order that the network uses. In the braces, a
     * dot stands before the name of a member; members that are not named become 0. */
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    /* bind() gives the socket this address and port. There are several kinds of address, each a
     * struct of its own: bind() takes a pointer to the general one, struct sockaddr. */
    if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0)
        return fail("bind 127.0.0.1:8080");
    /* From now on clients can connect; the kernel keeps them in a queue until accept(). */
    if (listen(listener, SOMAXCONN) < 0) return fail("listen");
    printf("listening on http://127.0.0.1:%d/\n", PORT);

    for (;;) {
        /* accept() waits for a connection, and returns a new socket for this one client. (With
         * NULL, it does not tell the client's address.) */
        int client = accept(listener, NULL, NULL);
        if (client < 0) {
            perror("accept");
            sleep(1); /* without free descriptors, accept() fails at once, again and again */
            continue;
        }
        handle_client(client);
    }
}

/* Looks for the blank line that ends the head of a request. Returns the length of the head with its
 * blank line, or 0 if that line has not come yet. Each line ends with CR LF, or with LF alone if a
 * person types it into nc. A blank line is a line end right after another one: so the head ends
 * with LF CR LF, or with LF LF. (A CR before that does not matter.) */
static size_t find_head_end(const char *text, size_t length)
{
    for (size_t i = 2; i < length; i++)
        if (memcmp(text + i - 2, "\n\r\n", 3) == 0 || memcmp(text + i - 1, "\n\n", 2) == 0)
            return i + 1;
    return 0;
}

/* Receives the head of a request, up to its blank line. recv() waits until something has come, and
 * returns how many bytes that is: a part of the head, or all of it and more. It returns 0 if the
 * client has closed the connection, and -1 if it has failed: the client has sent nothing for
 * TIMEOUT seconds, or it is gone. With the error EINTR, a signal has interrupted it, or the server
 * was stopped and continued: that is no failure. (The type ssize_t is a size_t that can also be -1.
 * The last argument, 0, sets no option.) Returns the length of the head, or 0 if no whole head has
 * come, or none that fits into MAX_HEAD bytes. */
static size_t receive_head(int client, char *text)
{
    size_t length = 0;
    while (length < MAX_HEAD && find_head_end(text, length) == 0) {
        ssize_t count = recv(client, text + length, MAX_HEAD - length, 0);
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) return 0;
        length += (size_t)count;
    }
    return find_head_end(text, length);
}

/* Sends all bytes. send() copies them into a buffer of the kernel; if that is full, it waits until
 * the client has received some. When its time is up, it returns how many bytes it has copied, or -1
 * if there was no room for any. Returns false if the client has left or has stopped receiving. */
static bool send_all(int client, const char *bytes, size_t length)
{
    while (length > 0) {
        ssize_t count = send(client, bytes, length, 0);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return false;
        bytes += count;
        length -= (size_t)count;
    }
    return true;
}

/* Serves one client, from its request to the end of the connection. */
static void handle_client(int client)
{
    char text[MAX_HEAD];
    /* SO_RCVTIMEO and SO_SNDTIMEO: one recv() or send() waits at most TIMEOUT seconds for the
     * client, and then fails. Otherwise a client that is silent would keep the server for ever.
     * (These calls cannot fail with such a time.) */
    struct timeval limit = {.tv_sec = TIMEOUT};
    setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(client, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    size_t length = receive_head(client, text);
    if (length > 0) printf("[%ld] %zu bytes 200\n", (long)getpid(), length); /* the process's id */
    if (length > 0) send_all(client, HELLO, strlen(HELLO)); /* if it fails, the client is gone */
    close(client); /* ends the connection; even if it reports an error, the descriptor is free */
}
