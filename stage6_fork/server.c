/*
 * Stage 6, fork: a process for each client. A client that stalls holds up nobody else.
 *
 * New:     fork(); the client's socket is then open in two processes, so both must close it.
 * Read:    main(), server_run(). handle_client() is the same as before.
 * See it:  start ./stage6_fork/server 8888, type nc 127.0.0.1 8888 in a second terminal, and in a
 *          third one, within 5 seconds (TIMEOUT), ps -C server -o pid,ppid,stat
 *          ps shows two processes: the server, and the child that serves nc.
 * Not yet: a process is expensive.
 */
#define _POSIX_C_SOURCE 200809L /* the headers declare what POSIX adds to C, too */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/* Some words. A server is a program that waits for requests and answers them; a client, such as a
 * browser or curl, sends them. A process is a program that is running. The kernel is the core of
 * the operating system: only it can use the network and the files. A process asks it with system
 * calls, such as recv(). A system call that fails returns -1 and puts the number of the error into
 * errno; perror() prints its text. A descriptor (fd) is the small number that stands for an open
 * file or an open socket. A socket is one end of a connection, or the place where new connections
 * arrive (the listener). TCP is the set of rules by which a connection carries bytes both ways, in
 * order, and loses none. An address, such as 127.0.0.1, says which machine is meant, and a port is
 * a number that says which program on it. A request has a head, and maybe a body. The head is the
 * request line (the method GET, the target /a.html, the version HTTP/1.1), then header fields such
 * as Host: 127.0.0.1, each on a line of its own, then a blank line. A response looks the same, but
 * it begins with a status line, which says whether all went well. */

enum {
    MAX_HEAD = 8192, /* bytes in the head of a request */
    MAX_LOG = 1024,  /* bytes of a request that are logged */
    TIMEOUT = 5000,  /* milliseconds that the server waits for a client */
    CHUNK = 32768,   /* bytes of a file that are read and sent at a time */
};

/* The characters of a token, such as a method (RFC 9110, the standard of HTTP, section 5.6.2). */
static const char TOKEN[] = "!#$%&'*+-.^_`|~0123456789"
                            "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/* A row for each result of a request: the number of the error (0: none), and the status code, the
 * reason phrase and the explanation that the client gets. The numbers are those of errno.h, because
 * open() reports its errors in them; an error of HTTP has the number with the most similar name:
 * EINVAL, the request line is malformed; ENOSYS, the method is not known; EMSGSIZE, the head is too
 * long; EPROTONOSUPPORT, the version is not known.
 * The last row is for all other errors, such as ENOENT, no such file, and EPERM, outside html/. */
static const struct outcome {
    int error;
    const char *status, *reason, *explanation;
} outcomes[] = {
    {0, "200", "OK", ""},
    {EISDIR, "301", "Moved Permanently", "The address of a directory ends with a slash."},
    {EINVAL, "400", "Bad Request", "Write GET /a.html HTTP/1.1 with %23 for # and %25 for %."},
    {EACCES, "403", "Forbidden", "The server may not read this file."},
    {ENOSYS, "405", "Method Not Allowed", "The methods of this server are GET and HEAD."},
    {EMSGSIZE, "431", "Request Header Fields Too Large", "A head has at most 8192 bytes."},
    {EMFILE, "503", "Service Unavailable", "The server is out of descriptors. Try again later."},
    {ENFILE, "503", "Service Unavailable", "The system is out of descriptors. Try again later."},
    {ENOMEM, "503", "Service Unavailable", "The system is out of memory. Try again later."},
    {EPROTONOSUPPORT, "505", "HTTP Version Not Supported", "This server knows HTTP/1.1."},
    {-1, "404", "Not Found", "There is no such page. sorry, 您访问的页面不存在"},
};

/* The Content-Type for each suffix of a file's name. */
static const char *const content_types[][2] = {{".html", "text/html; charset=utf-8"},
                                               {".css", "text/css; charset=utf-8"},
                                               {".js", "text/javascript; charset=utf-8"},
                                               {".txt", "text/plain; charset=utf-8"},
                                               {".json", "application/json"},
                                               {".svg", "image/svg+xml"},
                                               {".png", "image/png"},
                                               {".jpg", "image/jpeg"},
                                               {".gif", "image/gif"},
                                               {".webp", "image/webp"},
                                               {".ico", "image/x-icon"},
                                               {".wasm", "application/wasm"},
                                               {".pdf", "application/pdf"}};

/* What the server needs to know about a request. */
struct request {
    const char *target; /* a pointer into the text that was received */
    bool head_only;     /* the method is HEAD: the response has no body */
};

/* A response, ready to be sent: the head is in the buffer; the body follows in the buffer, or is
 * the file. */
struct response {
    const char *status;
    int file;                     /* the descriptor of the open file, or -1 */
    size_t length;                /* bytes in the buffer */
    char buffer[MAX_HEAD + 1024]; /* the head, and also the page of an error response */
};

/* The server: what its functions share. */
struct server {
    int listener; /* the socket that accepts connections */
};

/* Returns the time in milliseconds, counted from some moment in the past. Unlike the clock of
 * time(), this one does not jump when somebody sets the date. */
static long long now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);             /* cannot fail: this clock always exists */
    return t.tv_sec * 1000LL + t.tv_nsec / 1000000; /* seconds and nanoseconds */
}

/* Looks for the blank line that ends the head of a request. Returns the length of the head with its
 * blank line, or 0 if that line has not come yet. Each line ends with CR LF, or with LF alone if a
 * person types it into nc. So the head ends at an LF that stands after LF CR, or after another LF:
 * between the two there is nothing, and that is the blank line. */
static size_t find_head_end(const char *text, size_t length)
{
    for (size_t i = 2; i < length; i++)
        if (text[i] == '\n' && (text[i - 1] == '\n' || memcmp(text + i - 2, "\n\r", 2) == 0))
            return i + 1;
    return 0;
}

/* Logs a request in one line: the process id, the method, the target and the result. Some bytes
 * make a terminal do strange things, and a client can send any: those become '?'. The loop ends
 * because a line ends in the text, or the text has at least MAX_LOG bytes: the caller sees to that.
 * (words has no 0 at its end: "%.*s" prints as many characters as length says.) */
static void log_request(FILE *stream, const char *text, const char *result)
{
    char words[MAX_LOG];
    int length = 0, spaces = 0;
    for (; length < MAX_LOG && text[length] != '\r' && text[length] != '\n'; length++) {
        if (text[length] == ' ') spaces++;
        if (spaces == 2) break; /* what follows is the version */
        words[length] = text[length] >= ' ' && text[length] <= '~' ? text[length] : '?';
    }
    fprintf(stream, "[%ld] %.*s %s\n", (long)getpid(), length, words, result);
}

/* Returns where a word ends: at a space or a control character, so also at the end of its line,
 * and at the 0 that ends a string. */
static const char *word_end(const char *text)
{
    while (*text != ' ' && !iscntrl((unsigned char)*text))
        text++;
    return text;
}

/* Returns where the next line begins if the text is at the end of a line, otherwise NULL. */
static const char *next_line(const char *text)
{
    if (*text == '\r') text++;
    return *text == '\n' ? text + 1 : NULL;
}

/* Reads a request line, "GET /index.html HTTP/1.1". Returns 0, or the error. */
static int read_request(const char *line, struct request *request)
{
    const char *method_end = line + strspn(line, TOKEN), *target = method_end + 1;
    if (method_end == line || *method_end != ' ') return EINVAL;
    const char *target_end = word_end(target), *version = target_end + 1;
    if (target_end == target || *target_end != ' ') return EINVAL;
    if (strncmp(version, "HTTP/", 5) != 0) return EINVAL;
    if (version[5] >= '2' && version[5] <= '9') return EPROTONOSUPPORT;
    if (strncmp(version, "HTTP/1.", 7) != 0 || !isdigit((unsigned char)version[7])) return EINVAL;
    if (next_line(version + 8) == NULL) return EINVAL;
    if (memchr(target, '#', (size_t)(target_end - target)) != NULL) return EINVAL;
    if (strncasecmp(target, "http://", 7) == 0) { /* as sent to a proxy: RFC 9112, section 3.2.2 */
        target += 7 + strcspn(target + 7, "/? ");
        if (*target != '/') target = "/";
    }
    request->target = target;
    return (request->head_only || strncmp(line, "GET ", 4) == 0) ? 0 : ENOSYS;
}

/* Turns a target such as "/a%20b.html?x=1" into the name of a file, "html/a b.html". What follows
 * the ? is the query; it is not used. Returns 0, or the number of an error (see errno.h): EINVAL,
 * the target is malformed; ENOENT, no file can have this name; EPERM, the file would be outside
 * html/. */
static int make_path(const char *target, char *path)
{
    const char *end = target + strcspn(target, "? \r\n");
    if (*target != '/') return EINVAL;
    char *to = stpcpy(path, "html"); /* stpcpy() returns the end of the copy */
    for (; target < end; target++, to++) {
        *to = *target;
        if (*target == '%') { /* two hexadecimal digits follow: the value of one byte */
            char digits[3] = {target[1], target[2], '\0'};
            if (strspn(digits, "0123456789ABCDEFabcdef") != 2) return EINVAL;
            *to = (char)strtol(digits, NULL, 16);
            target += 2;
        }
        if (*to == '\0') return ENOENT; /* no file has a 0 byte in its name */
    }
    *to = '\0';
    for (char *dots = strstr(path, "/.."); dots != NULL; dots = strstr(dots + 3, "/.."))
        if (dots[3] == '/' || dots[3] == '\0') return EPERM; /* ".." is the parent directory */
    if (to[-1] == '/') strcpy(to, "index.html");             /* to[-1] is the last character */
    return 0;
}

/* Opens a regular file for reading, and puts its type and size into *about. Returns its descriptor;
 * or -1, with the error in errno, also if it is no regular file but a directory or a device. */
static int open_file(const char *path, struct stat *about)
{
    /* The | sets both options. A FIFO is a special file through which processes send bytes to each
     * other: without O_NONBLOCK, open() would wait until another process opens it for writing. */
    int file = open(path, O_RDONLY | O_NONBLOCK);
    /* If file is -1, open() has failed, and errno says why. */
    if (file < 0 || (fstat(file, about) == 0 && S_ISREG(about->st_mode))) return file;
    close(file);
    errno = S_ISDIR(about->st_mode) ? EISDIR : ENOENT;
    return -1;
}

/* Returns the Content-Type of a file. */
static const char *content_type(const char *path)
{
    const char *suffix = strrchr(path, '.');
    for (size_t i = 0; suffix != NULL && i < sizeof content_types / sizeof content_types[0]; i++)
        if (strcasecmp(suffix, content_types[i][0]) == 0) return content_types[i][1];
    return "application/octet-stream";
}

/* Writes the head of a response into its buffer, and after it the page of an error response. The
 * page repeats nothing that the client has sent: a browser might run it as a script. */
static void write_head(struct response *response, const struct request *request, int error,
                       const char *path)
{
    const struct outcome *outcome = outcomes;
    while (outcome->error != error && outcome->error != -1)
        outcome++;
    const char *type = error == 0 ? content_type(path) : "text/html; charset=utf-8";
    /* The target without the slashes at its start: "Location: //a/" means another server, "a". */
    const char *name = request->target + strspn(request->target, "/");
    char date[32], field[MAX_HEAD + 32], page[512] = "";
    time_t seconds = time(NULL);
    struct tm utc;
    strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&seconds, &utc));
    strcpy(field, error == ENOSYS ? "Allow: GET, HEAD\r\n" : "");
    if (error == EISDIR)
        snprintf(field, sizeof field, "Location: /%.*s/\r\n", (int)strcspn(name, "? "), name);
    if (error != 0)
        snprintf(page, sizeof page, "<!DOCTYPE html>\n<title>%s</title>\n<h1>%s</h1>\n<p>%s\n",
                 outcome->status, outcome->reason, outcome->explanation);
    response->status = outcome->status;
    response->length = (size_t)snprintf(response->buffer, sizeof response->buffer,
                                        "HTTP/1.1 %s %s\r\nDate: %s\r\nContent-Type: %s\r\n%s"
                                        "Connection: close\r\n\r\n%s",
                                        outcome->status, outcome->reason, date, type, field,
                                        request->head_only ? "" : page);
}

/* Closes the file of a response, if it is open. */
static void close_file(struct response *response)
{
    if (response->file >= 0) close(response->file);
    response->file = -1;
}

/* Reads the text of a request, and builds the response: the head, and an open file or the page of
 * an error response. head_length is what find_head_end() has returned: 0 if the text is full and
 * still has no blank line, so that the head is too long. */
static void build_response(const char *text, size_t head_length, struct response *response)
{
    char path[MAX_HEAD + 32]; /* room for "html", a target, and "index.html" */
    struct stat about = {0};
    struct request request = {.target = "", .head_only = strncmp(text, "HEAD ", 5) == 0};
    int error = head_length == 0 ? EMSGSIZE : read_request(text, &request);
    if (error == 0) error = make_path(request.target, path);
    response->file = error == 0 ? open_file(path, &about) : -1;
    if (error == 0 && response->file < 0) error = errno;
    const char *target_end = request.target + strcspn(request.target, "? ");
    if (error == EISDIR && target_end[-1] == '/') error = ENOENT; /* index.html is a directory */
    write_head(response, &request, error, path);
    if (request.head_only) close_file(response);
}

/* Receives until the text has the whole head of a request, and maybe more, and puts a 0 at its end,
 * so that it is a string. Returns the number of bytes in the text, or 0 if no whole head came in
 * time. A text of MAX_HEAD bytes that still has no blank line is a head that is too long.
 * recv() waits until something has come, and returns how many bytes that is: a part of the head, or
 * the head and more. It returns 0 if the client has closed the connection, and -1 if it failed. */
static size_t receive_head(int client, char *text)
{
    long long deadline = now() + TIMEOUT; /* after it, no recv() begins */
    size_t length = 0;
    while (length < MAX_HEAD && find_head_end(text, length) == 0) {
        ssize_t count = recv(client, text + length, MAX_HEAD - length, 0);
        if (count <= 0 || now() >= deadline) return 0;
        length += (size_t)count;
        text[length] = '\0';
        size_t empty = strspn(text, "\r\n"); /* counts the CR and LF at the start: skip them */
        length -= empty;
        memmove(text, text + empty, length + 1);
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
        if (count < 0) return false;
        bytes += count;
        length -= (size_t)count;
    }
    return true;
}

/* Sends a file, piece by piece. Returns false if not all was sent. */
static bool send_file(int client, int file)
{
    char chunk[CHUNK];
    ssize_t count = read(file, chunk, sizeof chunk);
    while (count > 0 && send_all(client, chunk, (size_t)count))
        count = read(file, chunk, sizeof chunk);
    return count == 0; /* 0: the end of the file; -1: read() failed; more: send_all() failed */
}

/* Makes sure that the client gets the whole response. If close() finds input that nobody has
 * received, the kernel breaks off the connection (it sends a reset), and the client can lose what
 * it has not read yet. So this function says with shutdown() that no more will come, and then
 * receives and throws away, until the client closes the connection or its time is up. That is not
 * needed if the client has sent a GET or a HEAD, which have no body, and nothing more: poll() with
 * a time of 0 says without waiting whether there is more. The text is not needed any longer, so
 * what is received can go there. */
static void drain(int client, char *text, size_t length)
{
    struct pollfd input = {.fd = client, .events = POLLIN};
    bool body = strncmp(text, "GET ", 4) != 0 && strncmp(text, "HEAD ", 5) != 0;
    if (!body && length == find_head_end(text, length) && poll(&input, 1, 0) == 0) return;
    long long deadline = now() + TIMEOUT;
    shutdown(client, SHUT_WR); /* if it fails, the client is gone, and recv() fails too */
    while (now() < deadline && recv(client, text, MAX_HEAD, 0) > 0)
        continue;
}

/* Serves one client, from its request to the end of the connection. */
static void handle_client(int client)
{
    char text[MAX_HEAD + 1];
    /* One recv() waits at most TIMEOUT, and then fails. One send() waits at most 3 seconds: then it
     * returns how many bytes it has copied, or fails if there was no room for any. */
    struct timeval limit = {.tv_sec = TIMEOUT / 1000}, send_limit = {.tv_sec = 3};
    bool limited = setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0 &&
                   setsockopt(client, SOL_SOCKET, SO_SNDTIMEO, &send_limit, sizeof send_limit) == 0;
    size_t length = limited ? receive_head(client, text) : 0;
    if (length > 0) {
        struct response response;
        build_response(text, find_head_end(text, length), &response);
        log_request(stdout, text, response.status);
        bool sent = send_all(client, response.buffer, response.length);
        if (sent && response.file >= 0) sent = send_file(client, response.file);
        close_file(&response);
        if (sent) drain(client, text, length);
    }
    close(client); /* even if it reports an error, the descriptor can be used again */
}

/* Says which call failed, and why. Returns the exit status of the program. */
static int fail(const char *call)
{
    perror(call);
    return 1;
}

/* Makes the server ready for clients at this address. Returns 0, or the exit status of the program
 * if it fails. */
static int server_init(struct server *server, struct sockaddr_in address)
{
    setvbuf(stdout, NULL, _IOLBF, BUFSIZ); /* print each line at once, also into a file or a pipe */
    /* A signal is a short message from the kernel to a process. SIGPIPE says: you have sent to a
     * client that has left. It would end the server. If the server ignores it, send() fails, and
     * that is all. (setvbuf() and signal() cannot fail with these arguments.) */
    signal(SIGPIPE, SIG_IGN);
    /* server_run() starts a second process, a child, for each client. When a child ends, the kernel
     * sends the signal SIGCHLD to the parent, and keeps an entry for the child with its exit status
     * (a "zombie") until the parent asks for it with wait(). If the parent ignores SIGCHLD, the
     * kernel keeps nothing. */
    signal(SIGCHLD, SIG_IGN);
    if (access("html/", X_OK) < 0)
        return fail("html/ (start the server in the directory that html/ is in)");
    /* socket() makes a socket and returns its descriptor. AF_INET and SOCK_STREAM: TCP, with
     * addresses such as 127.0.0.1 (IPv4). */
    server->listener = socket(AF_INET, SOCK_STREAM, 0);
    if (server->listener < 0) return fail("socket");
    /* When a server has ended, the kernel keeps its last connections for a minute (the state
     * TIME_WAIT). SO_REUSEADDR lets a new server bind to the port all the same. (If setsockopt()
     * fails, bind() may too.) */
    int on = 1;
    setsockopt(server->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    /* bind() says at which address and port the socket listens. There are several kinds of address,
     * each a struct of its own: bind() takes a pointer to the general one, struct sockaddr. */
    if (bind(server->listener, (struct sockaddr *)&address, sizeof address) < 0) {
        fprintf(stderr, "bind %s:%d: %s\n", inet_ntoa(address.sin_addr), ntohs(address.sin_port),
                strerror(errno));
        return 1;
    }
    /* From now on clients can connect; the kernel keeps them in a queue until accept(). */
    if (listen(server->listener, SOMAXCONN) < 0) return fail("listen");
    /* For port 0 the kernel has chosen a port: getsockname() tells which. */
    socklen_t size = sizeof address;
    if (getsockname(server->listener, (struct sockaddr *)&address, &size) < 0)
        return fail("getsockname");
    printf("listening on http://%s:%d/\n", inet_ntoa(address.sin_addr), ntohs(address.sin_port));
    return 0;
}

/* Accepts clients, for ever. Each is served by a child, at the same time as the others. */
static void server_run(struct server *server)
{
    for (;;) {
        /* accept() waits for a connection, and returns a new socket for this one client. */
        int client = accept(server->listener, NULL, NULL);
        if (client < 0) {
            perror("accept");
            poll(NULL, 0, 100); /* waits 0.1 s: without descriptors, accept() fails at once */
            continue;
        }
        /* fork() makes a copy of this process, the child, with a copy of each descriptor. Both go
         * on from here: fork() returns 0 in the child, and the child's process id in the parent. */
        pid_t child = fork();
        if (child < 0) perror("fork"); /* this client is not served, but the server goes on */
        if (child == 0) {
            close(server->listener); /* else the child keeps the port when the parent has ended */
            handle_client(client);   /* closes the child's copy of the client's socket */
            exit(0);
        }
        /* The connection ends when the last copy of its socket is closed. If the parent kept its
         * copy, the browser would have the whole page and still wait for more. */
        close(client);
    }
}

/* Reads "PORT [ADDRESS]" from the arguments. Returns false if they are something else. */
static bool read_arguments(int count, char **arguments, struct sockaddr_in *address)
{
    if (count < 2 || count > 3) return false;
    const char *port = arguments[1];
    size_t digits = strspn(port, "0123456789");
    if (digits < 1 || digits > 5 || port[digits] != '\0' || atoi(port) > 65535) return false;
    /* htons() puts the two bytes of the port into the order that the network uses. */
    address->sin_port = htons((in_port_t)atoi(port));
    /* 127.0.0.1 can be reached from this machine alone. */
    return inet_pton(AF_INET, count == 3 ? arguments[2] : "127.0.0.1", &address->sin_addr) == 1;
}

int main(int argc, char **argv)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    if (!read_arguments(argc, argv, &address)) {
        fprintf(stderr, "usage: %s PORT [ADDRESS], for example: %s 8888\n", argv[0], argv[0]);
        return 2;
    }
    static struct server server; /* static variables begin as zeros */
    int status = server_init(&server, address);
    if (status == 0) server_run(&server);
    return status;
}
