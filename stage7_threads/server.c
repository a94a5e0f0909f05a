/*
 * Stage 7, threads: a thread for each client. All threads share one process and its descriptors.
 *
 * New:     pthread_create(); the client's socket is open only once, so it is closed only once.
 * Read:    main(), server_run(), run_thread(). handle_client() is the same as before.
 * See it:  start ./stage7_threads/server 8888, type nc 127.0.0.1 8888 in a second terminal, and in
 *          a third one, within 5 seconds (TIMEOUT), ps -C server -L -o pid,lwp
 *          ps shows one process (pid) with two threads (lwp).
 * Not yet: thousands of threads are expensive too.
 */
#define _POSIX_C_SOURCE 200809L /* the headers declare what POSIX adds to C, too */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum {
    MAX_HEAD = 8192, /* bytes in the head of a request */
    MAX_LOG = 1024,  /* bytes of a request that are logged */
    TIMEOUT = 5,     /* seconds that one recv() or send() waits for a client */

    SEND_BUFFER = 131072, /* bytes that the kernel keeps until the client has them */
    MAX_DRAIN = 1000,     /* calls of recv() for bytes that are thrown away */
    CHUNK = 32768,        /* bytes of a file that are sent at a time */
};

/* The characters of a token, such as a method (RFC 9110, the standard of HTTP, section 5.6.2). */
static const char TOKEN[] = "!#$%&'*+-.^_`|~0123456789"
                            "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/* The status codes of this server. For each: the reason phrase, which stands after the code in the
 * status line, and an explanation for the person who reads the page of an error response. */
static const struct status {
    int code;
    const char *reason, *explanation;
} statuses[] = {
    {200, "OK", ""},
    {301, "Moved Permanently", "The address of a directory ends with a slash."},
    {400, "Bad Request", "Write GET /a.html HTTP/1.1 with %23 for # and %25 for %."},
    {403, "Forbidden", "The server may not read this file."},
    {404, "Not Found", "There is no such page. sorry, 您访问的页面不存在"},
    {405, "Method Not Allowed", "The methods of this server are GET and HEAD."},
    {414, "URI Too Long", "A request line and its target must fit into 8192 bytes."},
    {431, "Request Header Fields Too Large", "A head has at most 8192 bytes."},
    {500, "Internal Server Error", "The system cannot open this file."},
    {503, "Service Unavailable", "The server is out of descriptors or memory. Try again later."},
    {505, "HTTP Version Not Supported", "This server knows HTTP/1.1."},
};

/* The Content-Type for each suffix of a file's name. */
static const char *const content_types[][2] = {
    {".html", "text/html"},      {".htm", "text/html"},       {".css", "text/css"},
    {".js", "text/javascript"},  {".mjs", "text/javascript"}, {".json", "application/json"},
    {".txt", "text/plain"},      {".svg", "image/svg+xml"},   {".png", "image/png"},
    {".jpg", "image/jpeg"},      {".jpeg", "image/jpeg"},     {".gif", "image/gif"},
    {".webp", "image/webp"},     {".ico", "image/x-icon"},    {".wasm", "application/wasm"},
    {".pdf", "application/pdf"}, {".mp4", "video/mp4"}};

/* What the server needs to know about a request. */
struct request {
    const char *target; /* where the target begins, in the text that was received */
    bool head_only;     /* the method is HEAD: the response has no body */
};

/* A response. First the bytes in the buffer are sent, then the file, if there is one. */
struct response {
    int status;
    int file;      /* the descriptor of the open file, or -1 if there is none */
    size_t length; /* bytes in the buffer */
    /* The head, and the page of an error response. */
    char buffer[MAX_HEAD + 1024];
};

/* The server: what its functions share. */
struct server {
    int listener; /* the socket that accepts connections */
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

/* Makes the server ready for clients at this address. Returns 0, or the exit status of the program
 * if it fails. */
static int server_init(struct server *server, struct sockaddr_in address)
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
    server->listener = socket(AF_INET, SOCK_STREAM, 0);
    if (server->listener < 0) return fail("socket");
    /* When a server has ended, the kernel keeps its last connections for a minute (the state
     * TIME_WAIT). SO_REUSEADDR lets a new server bind to the port all the same. (If setsockopt()
     * fails, bind() may too.) */
    int on = 1;
    setsockopt(server->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    /* bind() gives the socket this address and port. There are several kinds of address, each a
     * struct of its own: bind() takes a pointer to the general one, struct sockaddr. */
    if (bind(server->listener, (struct sockaddr *)&address, sizeof address) < 0) {
        fprintf(stderr, "bind %s:%d: %s\n", inet_ntoa(address.sin_addr), ntohs(address.sin_port),
                strerror(errno));
        return 1;
    }
    /* From now on clients can connect; the kernel keeps them in a queue until accept(). */
    if (listen(server->listener, SOMAXCONN) < 0) return fail("listen");
    /* For port 0 the kernel has chosen a port: getsockname() tells which. */
    socklen_t length = sizeof address;
    if (getsockname(server->listener, (struct sockaddr *)&address, &length) < 0)
        return fail("getsockname");
    printf("listening on http://%s:%d/\n", inet_ntoa(address.sin_addr), ntohs(address.sin_port));
    return 0;
}

/* What a thread runs. The argument is the client's descriptor itself, cast to a pointer. A pointer
 * to the variable would be wrong: server_run() may already have put the next client there. */
static void *run_thread(void *argument)
{
    handle_client((int)(intptr_t)argument);
    return NULL;
}

/* Accepts clients, for ever. Each is served by a thread, at the same time as the others. */
static void server_run(struct server *server)
{
    for (;;) {
        /* accept() waits for a connection, and returns a new socket for this one client. (With
         * NULL, it does not tell the client's address.) */
        int client = accept(server->listener, NULL, NULL);
        if (client < 0) {
            perror("accept");
            sleep(1); /* without free descriptors, accept() fails at once, again and again */
            continue;
        }
        /* A thread is a second run through the code of the same process, at the same time: it has
         * its own local variables, but all threads share the global ones and the descriptors.
         * pthread_create() starts one. The socket is open only once, and handle_client() closes it:
         * if it were closed here too, the thread would lose its client, or get another thread's. */
        pthread_t thread;
        int error = pthread_create(&thread, NULL, run_thread, (void *)(intptr_t)client);
        if (error == 0)
            pthread_detach(thread); /* its memory is freed when it ends (this cannot fail) */
        else {
            fprintf(stderr, "pthread_create: %s\n", strerror(error));
            close(client); /* this client is not served, but the server goes on */
        }
    }
}

/* Reads "PORT [ADDRESS]" from the arguments. Returns false if they are something else. */
static bool read_arguments(int count, char **arguments, struct sockaddr_in *address)
{
    if (count < 2 || count > 3) return false;
    const char *port = arguments[1];
    size_t digits = strspn(port, "0123456789"); /* how many digits the argument begins with */
    if (digits < 1 || digits > 5 || port[digits] != '\0' || atoi(port) > 65535) return false;
    /* htons() puts the two bytes of the port into the order that the network uses. */
    address->sin_port = htons((in_port_t)atoi(port));
    /* 127.0.0.1 can be reached from this machine alone. inet_pton() turns the text into an address,
     * and returns 1 if it is one. */
    const char *host = count == 3 ? arguments[2] : "127.0.0.1";
    return inet_pton(AF_INET, host, &address->sin_addr) == 1;
}

/* Makes a server, and runs it. Returns only if it cannot be started. */
int main(int argc, char **argv)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    if (!read_arguments(argc, argv, &address)) {
        fprintf(stderr, "usage: %s PORT [ADDRESS], for example: %s 8888\n", argv[0], argv[0]);
        return 2;
    }
    static struct server server; /* static variables begin as zeros */
    int exit_status = server_init(&server, address);
    if (exit_status == 0) server_run(&server);
    return exit_status;
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

/* Logs a request in one line: the process id, the method, the target and the status. Some bytes
 * make a terminal do strange things, and a client can send any: those become '?'. The loop ends at
 * the end of the line, or after MAX_LOG bytes: the text has one or the other. (words has no 0 at
 * its end: "%.*s" prints as many characters as length says.) */
static void log_request(const char *text, int status)
{
    char words[MAX_LOG];
    int length = 0, spaces = 0;
    for (; length < MAX_LOG && text[length] != '\r' && text[length] != '\n'; length++) {
        char byte = text[length];
        if (byte == ' ') spaces++;
        if (spaces == 2) break; /* what follows is the version */
        words[length] = byte >= ' ' && byte <= '~' ? byte : '?';
    }
    printf("[%ld] %.*s %d\n", (long)getpid(), length, words, status);
}

/* Returns where the next line begins if the text is at the end of a line, otherwise NULL. */
static const char *next_line(const char *text)
{
    if (*text == '\r') text++;
    return *text == '\n' ? text + 1 : NULL;
}

/* Reads a request line, such as "GET /index.html HTTP/1.1". Returns 200 if the request can be
 * answered, otherwise the status that says what is wrong with it. */
static int read_request(const char *line, struct request *request)
{
    const char *method_end = line + strspn(line, TOKEN); /* strspn() counts these characters */
    if (method_end == line || *method_end != ' ') return 400;
    const char *target = method_end + 1, *target_end = target;
    while (*target_end != ' ' && *target_end != '#' && !iscntrl((unsigned char)*target_end))
        target_end++;
    if (target_end == target || *target_end != ' ') return 400;
    const char *version = target_end + 1;
    if (strncmp(version, "HTTP/", 5) == 0 && version[5] >= '2' && version[5] <= '9') return 505;
    if (strncmp(version, "HTTP/1.", 7) != 0 || !isdigit((unsigned char)version[7])) return 400;
    if (next_line(version + 8) == NULL) return 400;
    if (strncasecmp(target, "http://", 7) == 0) { /* as sent to a proxy: RFC 9112, section 3.2.2 */
        target += 7;
        if (strcspn(target, ":/? ") == 0) return 400; /* there is no host */
        target += strcspn(target, "/? ");
        if (*target != '/') target = "/";
    }
    request->target = target;
    return (request->head_only || strncmp(line, "GET ", 4) == 0) ? 200 : 405;
}

/* Turns a target such as "/a%20b.html?x=1" into the name of a file, "html/a b.html", and puts it
 * into path. What follows the ? is the query; it is not used. Returns 200 if all is well, otherwise
 * the status that says what is wrong with the target. */
static int make_path(const char *target, char *path)
{
    if (*target != '/') return 400;
    const char *end = target + strcspn(target, "? \r\n"); /* strcspn() counts up to one of these */
    char *to = stpcpy(path, "html"); /* stpcpy() copies, and returns where the copy ends */
    char byte = '/';
    for (; target < end; target++) {
        byte = *target;
        if (byte == '%') { /* two hexadecimal digits follow: the value of one byte */
            char hex[3] = {target[1], target[2], '\0'};
            if (strspn(hex, "0123456789ABCDEFabcdef") != 2) return 400;
            byte = (char)strtol(hex, NULL, 16);
            target += 2;
        }
        if (byte == '\0') return 404; /* no file has a 0 byte in its name */
        *to = byte;
        to++;
    }
    strcpy(to, "/"); /* so that ".." is found at the end, too: it is the parent directory */
    if (strstr(path, "/../") != NULL) return 404;
    strcpy(to, byte == '/' ? "index.html" : ""); /* the page of a directory */
    return 200;
}

/* Returns the status for an error of open() or fstat(). */
static int error_status(int error)
{
    switch (error) {
    case EACCES: /* it may not be read */
        return 403;
    case ENOENT: /* there is no such file, or it is no regular file */
    case ENOTDIR:
    case ENAMETOOLONG:
    case ELOOP:
    case ENXIO:
        return 404;
    case EMFILE: /* out of descriptors, or out of memory */
    case ENFILE:
    case ENOMEM:
        return 503;
    default: /* anything else is no fault of the client */
        return 500;
    }
}

/* Opens a regular file for reading. Returns 200 if all is well, otherwise the status that says what
 * is wrong. open() returns a descriptor, or -1. The | sets both options. A FIFO is a special file
 * through which processes send bytes to each other: without O_NONBLOCK, open() would wait until
 * another process opens it for writing. fstat() tells what has been opened. */
static int open_file(const char *path, struct response *response)
{
    struct stat about;
    response->file = open(path, O_RDONLY | O_NONBLOCK);
    if (response->file < 0 || fstat(response->file, &about) < 0) return error_status(errno);
    if (S_ISDIR(about.st_mode)) return 301;
    if (!S_ISREG(about.st_mode)) return 404; /* such as a device */
    return 200;
}

/* Returns the Content-Type of a file. */
static const char *content_type(const char *path)
{
    const char *suffix = strrchr(path, '.'); /* strrchr() looks for the last dot */
    for (size_t i = 0; suffix != NULL && i < sizeof content_types / sizeof content_types[0]; i++)
        if (strcasecmp(suffix, content_types[i][0]) == 0) return content_types[i][1];
    return "application/octet-stream";
}

/* Writes the head of a response into its buffer, line by line, and then the page of an error
 * response. The page repeats nothing that the client has sent: a browser might run it as a script.
 * snprintf() prints into memory, and returns how many bytes that is, or would be if there were room
 * for them. There is: only the target can be long, and it is shorter than MAX_HEAD. */
static void write_head(struct response *response, const struct request *request, const char *path)
{
    const struct status *entry = statuses;
    while (entry->code != response->status)
        entry++;
    char *to = response->buffer, *end = to + sizeof response->buffer, page[512] = "";
    if (entry->code != 200)
        snprintf(page, sizeof page, "<!DOCTYPE html>\n<title>%d</title>\n<h1>%s</h1>\n<p>%s\n",
                 entry->code, entry->reason, entry->explanation);
    const char *type = content_type(entry->code == 200 ? path : "page.html");
    const char *charset = strncmp(type, "text/", 5) == 0 ? "; charset=utf-8" : "";
    time_t seconds = time(NULL);
    struct tm utc;
    gmtime_r(&seconds, &utc); /* the date and time in Greenwich */
    to += snprintf(to, end - to, "HTTP/1.1 %d %s\r\n", entry->code, entry->reason);
    to += strftime(to, end - to, "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &utc);
    to += snprintf(to, end - to, "Content-Type: %s%s\r\n", type, charset);
    if (entry->code == 301) {
        /* The same target with a slash before its query. All slashes at its start become one: for
         * "Location: //a/" a browser would go to another server, "a". */
        const char *name = request->target + strspn(request->target, "/");
        const char *query = name + strcspn(name, "? ");
        to += snprintf(to, end - to, "Location: /%.*s/%.*s\r\n", (int)(query - name), name,
                       (int)strcspn(query, " "), query);
    }
    if (entry->code == 405) to += snprintf(to, end - to, "Allow: GET, HEAD\r\n");
    to += snprintf(to, end - to, "Connection: close\r\n\r\n");
    if (!request->head_only) to = stpcpy(to, page);
    response->length = (size_t)(to - response->buffer);
}

/* Closes the file of a response, if it is open. */
static void close_file(struct response *response)
{
    if (response->file >= 0) close(response->file);
    response->file = -1;
}

/* Reads the text of a request, and builds the response: its head, and an open file or the page of
 * an error response. head_length is what find_head_end() has returned: 0 if the text is full and
 * still has no blank line. */
static void build_response(const char *text, size_t head_length, struct response *response)
{
    char path[MAX_HEAD + 32]; /* room for "html", a target, and "index.html" */
    struct request request = {.target = "/", .head_only = strncmp(text, "HEAD ", 5) == 0};
    response->file = -1;
    if (head_length > 0)
        response->status = read_request(text, &request);
    else
        response->status = memchr(text, '\n', MAX_HEAD) == NULL ? 414 : 431;
    if (response->status == 200) response->status = make_path(request.target, path);
    if (response->status == 200) response->status = open_file(path, response);
    /* If the path ends with a slash, it is index.html that is a directory: 301 would lead back. */
    const char *last = request.target + strcspn(request.target, "? ") - 1;
    if (response->status == 301 && *last == '/') response->status = 404;
    write_head(response, &request, path);
    if (response->status != 200 || request.head_only) close_file(response);
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
        size_t empty = strspn(text, "\r\n"); /* counts the CR and LF at the beginning: skip them */
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
        log_request(text, response.status);
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
