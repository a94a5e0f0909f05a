/*
 * Stage 2, files: the request line names a file under html/, and the answer is that file.
 *
 * New:     a target such as /style.css becomes the name of a file, html/style.css. No request gets
 *          a file outside html/.
 * Read:    main(), handle_client(), build_response(), make_path(), open_file(), send_file().
 * See it:  start ./stage2_files/server, and in a second terminal
 *          curl http://127.0.0.1:8080/style.css    prints html/style.css,
 *          curl http://127.0.0.1:8080/nothing      says "Empty reply from server"; the server's
 *          terminal says why.
 * Not yet: a wrong name gets no answer at all.
 */
#define _POSIX_C_SOURCE 200809L /* the headers declare what POSIX adds to C, too */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

enum {
    PORT = 8080,     /* the message of bind() names it, too */
    MAX_HEAD = 8192, /* bytes in the head of a request */
    MAX_LOG = 1024,  /* bytes of a request that are logged */
    TIMEOUT = 5,     /* seconds that one recv() or send() waits for a client */

    SEND_BUFFER = 131072, /* bytes that the kernel keeps until the client has them */
    MAX_DRAIN = 1000,     /* calls of recv() for bytes that are thrown away */
    CHUNK = 32768,        /* bytes of a file that are sent at a time */
};

/* A response. First the bytes in the buffer are sent, then the file, if there is one. */
struct response {
    /* What is wrong with the request, or NULL. */
    const char *problem;
    int file;      /* the descriptor of the open file, or -1 if there is none */
    size_t length; /* bytes in the buffer */
    /* The head; it is always the same. */
    const char *buffer;
};

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
    /* access() says whether html/ is here and may be entered. */
    if (access("html/", X_OK) < 0)
        return fail("html/ (start the server in the directory that html/ is in)");
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

/* Logs a request in one line: the process id, the method, the target and the result. Some bytes
 * make a terminal do strange things, and a client can send any: those become '?'. The loop ends at
 * the end of the line, or after MAX_LOG bytes: the text has one or the other. (words has no 0 at
 * its end: "%.*s" prints as many characters as length says.) */
static void log_request(const char *text, const char *problem)
{
    char words[MAX_LOG];
    int length = 0, spaces = 0;
    for (; length < MAX_LOG && text[length] != '\r' && text[length] != '\n'; length++) {
        char byte = text[length];
        if (byte == ' ') spaces++;
        if (spaces == 2) break; /* what follows is the version */
        words[length] = byte >= ' ' && byte <= '~' ? byte : '?';
    }
    FILE *stream = problem == NULL ? stdout : stderr;
    const char *result = problem == NULL ? "200" : problem;
    fprintf(stream, "[%ld] %.*s %s\n", (long)getpid(), length, words, result);
}

/* Turns a target such as "/a%20b.html?x=1" into the name of a file, "html/a b.html", and puts it
 * into path. What follows the ? is the query; it is not used. Returns NULL if all is well,
 * otherwise what is wrong with the target. */
static const char *make_path(const char *target, char *path)
{
    if (*target != '/') return "does not begin with /";
    const char *end = target + strcspn(target, "? \r\n"); /* strcspn() counts up to one of these */
    char *to = stpcpy(path, "html"); /* stpcpy() copies, and returns where the copy ends */
    char byte = '/';
    for (; target < end; target++) {
        byte = *target;
        if (byte == '%') { /* two hexadecimal digits follow: the value of one byte */
            char hex[3] = {target[1], target[2], '\0'};
            if (strspn(hex, "0123456789ABCDEFabcdef") != 2) return "has a % without two digits";
            byte = (char)strtol(hex, NULL, 16);
            target += 2;
        }
        if (byte == '\0') return "has a 0 byte, and no file has one in its name";
        *to = byte;
        to++;
    }
    strcpy(to, "/"); /* so that ".." is found at the end, too: it is the parent directory */
    if (strstr(path, "/../") != NULL) return "is outside html/";
    strcpy(to, byte == '/' ? "index.html" : ""); /* the page of a directory */
    return NULL;
}

/* Opens a regular file for reading. Returns NULL if all is well, otherwise what is wrong. open()
 * returns a descriptor, or -1. The | sets both options. A FIFO is a special file through which
 * processes send bytes to each other: without O_NONBLOCK, open() would wait until another process
 * opens it for writing. fstat() tells what has been opened. */
static const char *open_file(const char *path, struct response *response)
{
    struct stat about;
    response->file = open(path, O_RDONLY | O_NONBLOCK);
    if (response->file < 0 || fstat(response->file, &about) < 0) return strerror(errno);
    if (!S_ISREG(about.st_mode)) return "is no regular file"; /* but a directory or a device */
    return NULL;
}

/* Closes the file of a response, if it is open. */
static void close_file(struct response *response)
{
    if (response->file >= 0) close(response->file);
    response->file = -1;
}

/* Reads the text of a request, and opens the file that it names. head_length is what
 * find_head_end() has returned: 0 if the text is full and still has no blank line. */
static void build_response(const char *text, size_t head_length, struct response *response)
{
    char path[MAX_HEAD + 32]; /* room for "html", a target, and "index.html" */
    const char *target = text + strcspn(text, " \r\n") + 1; /* it follows the method and a space */
    response->file = -1;
    response->problem = head_length > 0 ? make_path(target, path) : "the head is too long";
    if (response->problem == NULL) response->problem = open_file(path, response);
    if (response->problem != NULL) close_file(response);
    response->buffer = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n";
    response->length = response->file >= 0 ? strlen(response->buffer) : 0; /* no file: no byte */
}

/* Receives until the text has the whole head of a request, and maybe more, and puts a 0 at its end,
 * so that it is a string. recv() waits until something has come, and returns how many bytes that
 * is: a part of the head, or all of it and more. It returns 0 if the client has closed the
 * connection, and -1 if it has failed: the client has sent nothing for TIMEOUT seconds, or it is
 * gone. With the error EINTR, a signal has interrupted it, or the server was stopped and continued:
 * that is no failure. (The type ssize_t is a size_t that can also be -1. The last argument, 0, sets
 * no option.) Returns the number of bytes in the text, or 0 if no whole head has come. MAX_HEAD
 * bytes without a blank line are a head that is too long. */
static size_t receive_head(int client, char *text)
{
    size_t length = 0;
    while (length < MAX_HEAD && find_head_end(text, length) == 0) {
        ssize_t count = recv(client, text + length, MAX_HEAD - length, 0);
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) return 0;
        length += (size_t)count;
        text[length] = '\0';
    }
    return length;
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

/* Sends a file, piece by piece. read() returns how many bytes it has read, 0 at the end of the
 * file, and -1 if it fails. Returns false if not all of the file was sent. */
static bool send_file(int client, int file)
{
    char chunk[CHUNK];
    for (;;) {
        ssize_t count = read(file, chunk, sizeof chunk);
        if (count <= 0) return count == 0;
        if (!send_all(client, chunk, (size_t)count)) return false;
    }
}

/* Sees to it that a client that sends more than its head gets the whole response all the same. If
 * close() finds input that nobody has received, the kernel breaks off the connection (it sends a
 * reset), and the client can lose what it has not read yet. So if there is more, this function says
 * with shutdown() that the response is over, and then receives and throws away, until the client
 * closes, or has been silent for TIMEOUT seconds, or MAX_DRAIN is reached. With MSG_WAITALL, recv()
 * waits until MAX_HEAD bytes have come, its time is up, or the client closes. There is more if the
 * method is another than GET and HEAD, so that a body may come; if the text does not end with the
 * head; or if poll(), which does not wait here, says that something has come since. What comes only
 * after that can still break off the connection. The text is not needed any longer, and takes the
 * bytes. */
static void drain(int client, char *text, size_t length)
{
    struct pollfd input = {.fd = client, .events = POLLIN};
    bool body = strncmp(text, "GET ", 4) != 0 && strncmp(text, "HEAD ", 5) != 0;
    if (!body && length == find_head_end(text, length) && poll(&input, 1, 0) == 0) return;
    shutdown(client, SHUT_WR); /* if it fails, the client is gone, and recv() fails too */
    for (int i = 0; i < MAX_DRAIN; i++) {
        ssize_t count = recv(client, text, MAX_HEAD, MSG_WAITALL);
        if (count == 0 || (count < 0 && errno != EINTR)) return;
    }
}

/* Serves one client, from its request to the end of the connection. */
static void handle_client(int client)
{
    char text[MAX_HEAD + 1];
    /* SO_RCVTIMEO and SO_SNDTIMEO: one recv() or send() waits at most TIMEOUT seconds for the
     * client, and then fails. Otherwise a client that is silent would keep the server for ever.
     * (These calls cannot fail with such a time.) */
    struct timeval limit = {.tv_sec = TIMEOUT};
    setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(client, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    /* SO_SNDBUF: a send() that waits goes on when about a third of the send buffer is free. If the
     * buffer were larger, a slow client would need more than TIMEOUT seconds for that. */
    int send_buffer = SEND_BUFFER;
    setsockopt(client, SOL_SOCKET, SO_SNDBUF, &send_buffer, sizeof send_buffer);
    size_t length = receive_head(client, text);
    if (length > 0) {
        struct response response;
        build_response(text, find_head_end(text, length), &response);
        log_request(text, response.problem);
        bool sent = send_all(client, response.buffer, response.length);
        if (sent && response.file >= 0) sent = send_file(client, response.file);
        close_file(&response);
        if (sent) drain(client, text, length);
        /* Half a file must not look like a whole one. With SO_LINGER and a time of 0, close()
         * breaks off the connection by a reset: after what has come, the client's recv() fails. */
        struct linger reset = {.l_onoff = 1, .l_linger = 0};
        if (!sent) setsockopt(client, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    }
    close(client); /* ends the connection; even if it reports an error, the descriptor is free */
}
