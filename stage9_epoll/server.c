/*
 * Stage 9, epoll: the kernel says which clients are ready. The others cost almost nothing.
 *
 * New:     epoll: wait until one of many sockets is ready, and learn which. And what ten thousand
 *          clients need: more descriptors, and buffers only for those who use them; a small file
 *          that leaves together with its head; a log that is written once for many requests.
 * Read:    main(), server_run(), watch(), serve_connection(), accept_clients(), check_deadlines().
 * See it:  start strace ./stage9_epoll/server 8888, and in a second terminal
 *          curl http://127.0.0.1:8888/
 *          strace shows that the server sleeps in epoll_wait(). It wakes four times a second to
 *          check the deadlines, and at once when curl wants something.
 * Not yet: it uses one core.
 */
#define _GNU_SOURCE /* the headers declare what only Linux has, too, such as accept4() */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
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
    CHUNK = 2097152, /* bytes of a file that are sent at a time; then others have their turn */
    MAX_FDS = 65536, /* entries in the table of connections, for the descriptors 0 to 65535 */
    MAX_EVENTS = 64, /* events that the kernel reports at a time */
    INTERVAL = 250,  /* milliseconds from one check of the deadlines to the next */
};

/* The characters of a token, such as a method (RFC 9110, the standard of HTTP, section 5.6.2). */
static const char TOKEN[] = "!#$%&'*+-.^_`|~0123456789"
                            "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/* A row for each result of a request: the number of the error (0: none), and the status code, the
 * reason phrase and the explanation that the client gets. The numbers are those of errno.h, because
 * open() reports its errors in them; an error of HTTP has the number with the most similar name:
 * EINVAL, the request line is malformed; ENOSYS, the method is not known; EMSGSIZE, the head is too
 * long; EPROTONOSUPPORT, the version is not known.
 * For the header fields: EDESTADDRREQ, Host is missing, malformed, or there twice; EBADMSG, a line
 * is not a field; EPROTO, Content-Length or Transfer-Encoding does not say how long the body is.
 * The last row is for all other errors, such as ENOENT, no such file, and EPERM, outside html/. */
static const struct outcome {
    int error;
    const char *status, *reason, *explanation;
} outcomes[] = {
    {0, "200", "OK", ""},
    {EISDIR, "301", "Moved Permanently", "The address of a directory ends with a slash."},
    {EINVAL, "400", "Bad Request", "Write GET /a.html HTTP/1.1 with %23 for # and %25 for %."},
    {EDESTADDRREQ, "400", "Bad Request", "HTTP/1.1 needs one Host field, as Host: 127.0.0.1"},
    {EBADMSG, "400", "Bad Request", "A header field is a line such as Accept: text/html"},
    {EPROTO, "400", "Bad Request", "The fields do not say clearly how long the body is."},
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
    bool keep_alive;    /* the client wants the connection to stay open */
};

/* A response, ready to be sent: the head is in the buffer; the body follows in the buffer, or is
 * the file. */
struct response {
    const char *status;
    int file;                     /* the descriptor of the open file, or -1 */
    size_t length;                /* bytes in the buffer */
    char buffer[MAX_HEAD + 1024]; /* the head, and also an error page or a whole small file */
    size_t sent;                  /* bytes of the buffer that have been sent */
    size_t file_left;             /* bytes of the file that are not in the buffer and not sent */
    bool keep_alive;              /* the connection stays open after this response */
};

/* What a client has sent, and the response to it. */
struct exchange {
    char text[MAX_HEAD + 1];
    struct response response;
};

/* What the server remembers of a connection from one turn to the next. Its states:
 *   RECEIVING  the rest of a request has to come;
 *   SENDING    a part of the response is not sent yet: there was no room in the kernel's buffer;
 *   DRAINING   the last response is sent, the client has to close; what still comes is thrown away;
 *   UNUSED     there is no connection: this entry of the table is free. */
struct connection {
    enum { UNUSED, RECEIVING, SENDING, DRAINING } state;
    int client;                /* the client's socket */
    long long deadline;        /* when now() reaches this time, the client has been too slow */
    size_t length;             /* bytes in the text: a part of a request, or several requests */
    struct exchange *exchange; /* NULL while the client is idle: then it costs no buffers */
};

/* The server: what its functions share. */
struct server {
    int listener; /* the socket that accepts connections */
    int epoll;    /* the descriptor of the kernel's list of sockets to watch */
    /* The time of the next check of the deadlines. */
    long long next_check;
    /* The table of connections: the index is the client's descriptor, highest_fd the highest so
     * far. */
    int highest_fd;
    struct connection connections[MAX_FDS];
};

/* Returns the time in milliseconds, counted from some moment in the past. Unlike the clock of
 * time(), this one does not jump when somebody sets the date. */
static long long now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);             /* cannot fail: this clock always exists */
    return t.tv_sec * 1000LL + t.tv_nsec / 1000000; /* seconds and nanoseconds */
}

/* True if the call that has just failed would have had to wait (EAGAIN, on some systems
 * EWOULDBLOCK), or was interrupted by a signal (EINTR): nothing is wrong with the connection, try
 * again later. */
static bool would_block(void)
{
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
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

/* Looks for a token in a list such as "keep-alive, Upgrade". Returns where it ends, or NULL. */
static const char *find_token(const char *list, const char *token)
{
    for (size_t length = 1; length > 0; list += length) {
        list += strspn(list, ", \t");
        length = strspn(list, TOKEN);
        if (length == strlen(token) && strncasecmp(list, token, length) == 0) return list + length;
    }
    return NULL;
}

/* True if the text from value to end is a host and maybe a port: "127.0.0.1:8888", "[::1]". It may
 * also be empty (RFC 9110, section 7.2). */
static bool is_host(const char *value, const char *end)
{
    size_t ipv6 = *value == '[' ? strspn(value, "[:.0123456789ABCDEFabcdef") : 0;
    bool in_brackets = ipv6 > 0 && value[ipv6] == ']';
    value += in_brackets ? ipv6 + 1 : strcspn(value, ":/?#[]@\\^`{|}<>\" \t\r\n");
    if (*value == ':') value += 1 + strspn(value + 1, "0123456789");
    return value == end;
}

/* Reads the header fields, up to the blank line. Returns 0, or the error. Content-Length is the
 * size of the body. Transfer-Encoding is a list of the ways in which the body is coded; if the last
 * one is "chunked", the body itself shows where it ends. The server does not read a body: after the
 * response it closes the connection, otherwise it would take the body for the next request.
 * HTTP/1.0 needs no Host, and closes the connection unless the client asks for keep-alive. */
static int read_fields(const char *line, bool http_1_0, struct request *request)
{
    int hosts = 0, lengths = 0, codings = 0;
    bool keep_alive = !http_1_0, must_close = false, chunked = false;
    for (const char *next; next_line(line) == NULL; line = next) {
        /* The name of the field ends at the colon; its value is what stands from value to end. */
        const char *colon = line + strspn(line, TOKEN), *end = colon;
        const char *value = colon + 1 + strspn(colon + 1, " \t");
        while (*end == '\t' || !iscntrl((unsigned char)*end))
            end++;
        next = next_line(end);
        if (colon == line || *colon != ':' || next == NULL) return EBADMSG;
        while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
            end--;
        bool is_host_field = strncasecmp(line, "Host:", 5) == 0;
        bool is_size = strncasecmp(line, "Content-Length:", 15) == 0;
        bool is_coding = strncasecmp(line, "Transfer-Encoding:", 18) == 0;
        bool is_option = strncasecmp(line, "Connection:", 11) == 0;
        if (is_host_field && !is_host(value, end)) return EDESTADDRREQ;
        if (is_size && (value == end || value + strspn(value, "0123456789") != end)) return EPROTO;
        if (is_coding) chunked = find_token(value, "chunked") == end; /* "chunked" is the last */
        if (is_size && value + strspn(value, "0") != end) must_close = true;
        if (is_option && find_token(value, "close") != NULL) must_close = true;
        if (is_option && find_token(value, "keep-alive") != NULL) keep_alive = true;
        if (is_host_field) hosts++;
        if (is_size) lengths++;
        if (is_coding) codings++;
    }
    if (hosts > 1 || (hosts == 0 && !http_1_0)) return EDESTADDRREQ;
    if (lengths > 1 || (codings > 0 && (lengths > 0 || !chunked))) return EPROTO;
    request->keep_alive = keep_alive && !must_close && codings == 0;
    return 0;
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
    int error = read_fields(next_line(version + 8), version[7] == '0', request);
    if (error != 0) return error;
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
    response->sent = 0;
    response->keep_alive = request->keep_alive && error != EINVAL; /* EINVAL: malformed */
    const char *option = response->keep_alive ? "keep-alive" : "close";
    response->length = (size_t)snprintf(response->buffer, sizeof response->buffer,
                                        "HTTP/1.1 %s %s\r\nDate: %s\r\nContent-Type: %s\r\n%s"
                                        "Content-Length: %zu\r\nConnection: %s\r\n\r\n%s",
                                        outcome->status, outcome->reason, date, type, field,
                                        response->file_left + strlen(page), option,
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
    response->file_left = error == 0 ? (size_t)about.st_size : 0;
    write_head(response, &request, error, path);
    if (request.head_only) response->file_left = 0;
    /* A small file goes into the buffer, after its head: then one send() takes both. */
    size_t room = sizeof response->buffer - response->length, size = response->file_left;
    char *end = response->buffer + response->length;
    if (size > 0 && size <= room && pread(response->file, end, size, 0) == (ssize_t)size) {
        response->length += size;
        response->file_left = 0;
    }
}

/* Removes so many bytes from the beginning of the text (an answered request, or 0), and then the
 * empty lines before the next request. */
static void remove_text(struct connection *connection, size_t count)
{
    char *text = connection->exchange->text;
    count += strspn(text + count, "\r\n");
    connection->length -= count;
    memmove(text, text + count, connection->length + 1);
}

/* Receives once, as much as has come. Returns false if the connection is over. */
static bool receive_some(struct connection *connection)
{
    char *end = connection->exchange->text + connection->length;
    ssize_t count = recv(connection->client, end, MAX_HEAD - connection->length, 0);
    if (count <= 0) return count < 0 && would_block(); /* 0: the client has closed it */
    if (connection->state == DRAINING) return true;    /* nobody needs what has come */
    end[count] = '\0';
    connection->length += (size_t)count;
    remove_text(connection, 0); /* only empty lines */
    return true;
}

/* Starts the response to the first request in the text. Returns false if its head is not complete
 * yet. */
static bool start_response(struct connection *connection)
{
    struct exchange *exchange = connection->exchange;
    size_t head_length = find_head_end(exchange->text, connection->length);
    if (head_length == 0 && connection->length < MAX_HEAD) return false;
    build_response(exchange->text, head_length, &exchange->response);
    log_request(stdout, exchange->text, exchange->response.status);
    remove_text(connection, head_length);
    connection->state = SENDING;
    return true;
}

/* Ends a response that is sent. The connection stays open for the next request; or the server says
 * with shutdown() that no more will come, and receives until the client closes. If it closed the
 * socket at once, and the client was still sending, the kernel would break off the connection (it
 * sends a reset), and the client could lose the response. */
static void end_response(struct connection *connection)
{
    close_file(&connection->exchange->response);
    connection->state = connection->exchange->response.keep_alive ? RECEIVING : DRAINING;
    if (connection->state == RECEIVING) return;
    connection->length = 0;                /* what else the client has asked for is not answered */
    shutdown(connection->client, SHUT_WR); /* if it fails, so does the next recv() */
}

/* Sends what is left of the buffer, then at most CHUNK bytes of the file, but no more than the
 * socket takes without waiting. Returns false if the connection is over. */
static bool send_some(struct connection *connection)
{
    struct response *response = &connection->exchange->response;
    if (response->sent < response->length) {
        /* MSG_MORE: the head waits in the kernel for the file, so that they leave together. */
        size_t left = response->length - response->sent;
        int flags = response->file_left > 0 ? MSG_MORE : 0;
        ssize_t count = send(connection->client, response->buffer + response->sent, left, flags);
        if (count < 0) return would_block();
        response->sent += (size_t)count;
    }
    if (response->sent == response->length && response->file_left > 0) {
        /* sendfile() sends bytes of a file without a detour through a buffer of ours. */
        size_t most = response->file_left < CHUNK ? response->file_left : CHUNK;
        ssize_t count = sendfile(connection->client, response->file, NULL, most);
        if (count <= 0) return count < 0 && would_block(); /* 0: the file has become shorter */
        response->file_left -= (size_t)count;
    }
    connection->deadline = now() + TIMEOUT;
    if (response->sent == response->length && response->file_left == 0) end_response(connection);
    return true;
}

/* Gives a connection its turn: at most one recv(), then responses for as long as the socket takes
 * them. A long file takes several turns. Returns false if the connection is over. */
static bool take_turn(struct connection *connection)
{
    if (connection->state != SENDING && !receive_some(connection)) return false;
    while (connection->state == SENDING || start_response(connection)) { /* true: now SENDING */
        if (!send_some(connection)) return false;
        if (connection->state == SENDING) return true; /* the rest is sent in the next turn */
    }
    return true;
}

/* Tells the kernel which events of a socket to report: EPOLLIN, there is something to receive;
 * EPOLLOUT, there is room to send. The operation is EPOLL_CTL_ADD for a socket that is new on the
 * kernel's list, EPOLL_CTL_MOD for one that is already there. The kernel returns data with each
 * event: so epoll_wait() tells whose event it is. Returns false if the kernel has no memory. */
static bool watch(struct server *server, int operation, int fd, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.fd = fd};
    return epoll_ctl(server->epoll, operation, fd, &event) == 0;
}

/* Serves a connection as far as it goes without waiting, and closes it if it is over or if its
 * time is up. Otherwise its state says which event it waits for. */
static void serve_connection(struct server *server, struct connection *connection)
{
    bool was_sending = connection->state == SENDING;
    if (connection->exchange == NULL) connection->exchange = malloc(sizeof *connection->exchange);
    bool alive = connection->exchange != NULL && now() < connection->deadline;
    if (alive) alive = take_turn(connection);
    bool sending = connection->state == SENDING;
    if (alive && sending != was_sending)
        alive = watch(server, EPOLL_CTL_MOD, connection->client, sending ? EPOLLOUT : EPOLLIN);
    if (!alive) {
        if (connection->state == SENDING) close_file(&connection->exchange->response);
        close(connection->client); /* takes the socket off the kernel's list, too */
        connection->state = UNUSED;
    }
    if (!alive || (connection->state != SENDING && connection->length == 0)) {
        free(connection->exchange); /* nothing is under way */
        connection->exchange = NULL;
    }
}

/* Accepts all clients that are waiting, until accept4() fails with EAGAIN: there are no more. It is
 * accept() with options: SOCK_NONBLOCK makes the new socket non-blocking, as the listener is. */
static void accept_clients(struct server *server)
{
    for (int client; (client = accept4(server->listener, NULL, NULL, SOCK_NONBLOCK)) >= 0;)
        if (client >= MAX_FDS || !watch(server, EPOLL_CTL_ADD, client, EPOLLIN))
            close(client); /* there is no room for it */
        else {
            /* (struct connection){...} is a struct; the members that are not named are 0. */
            server->connections[client] = (struct connection){
                .state = RECEIVING, .client = client, .deadline = now() + TIMEOUT};
            if (client > server->highest_fd) server->highest_fd = client;
        }
    if (!would_block()) {
        perror("accept"); /* such as: too many open files. Others may close theirs: try later */
        /* 0: report nothing, until check_deadlines() asks for EPOLLIN again. Otherwise epoll_wait()
         * would return at once, again and again. (This cannot fail: the socket is on the list.) */
        watch(server, EPOLL_CTL_MOD, server->listener, 0);
    }
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
    setvbuf(stdout, NULL, _IOFBF, BUFSIZ); /* collect lines: server_run() prints them in one go */
    /* A signal is a short message from the kernel to a process. SIGPIPE says: you have sent to a
     * client that has left. It would end the server. If the server ignores it, send() fails, and
     * that is all. (setvbuf() and signal() cannot fail with these arguments.) */
    signal(SIGPIPE, SIG_IGN);
    if (access("html/", X_OK) < 0)
        return fail("html/ (start the server in the directory that html/ is in)");
    /* socket() makes a socket and returns its descriptor. AF_INET and SOCK_STREAM: TCP, with
     * addresses such as 127.0.0.1 (IPv4). */
    server->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
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
    /* TCP_NODELAY: send the last, small piece of a response at once. Otherwise the kernel keeps it
     * back until the client has acknowledged the pieces before it. The sockets that accept4()
     * returns get this option from the listener. (If this fails, responses are only slower.) */
    setsockopt(server->listener, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    /* TCP_NOTSENT_LOWAT: the kernel takes about so many bytes more than it can send just now, and
     * EPOLLOUT comes when less than half of them are left. Otherwise a slow client would seem to
     * have stopped: the kernel waits until there is room for a third of its buffer, which can be
     * megabytes. (If this fails, slow clients are lost.) */
    int unsent = 65536;
    setsockopt(server->listener, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof unsent);
    /* The kernel limits how many descriptors a process may have. The soft limit is the one that
     * counts; the process may raise it up to the hard limit. Each connection needs a descriptor. */
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0) return fail("getrlimit");
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit); /* if it fails, there is room for fewer clients */
    server->epoll = epoll_create1(0);
    if (server->epoll < 0 || !watch(server, EPOLL_CTL_ADD, server->listener, EPOLLIN))
        return fail("epoll");
    printf("listening on http://%s:%d/\n", inet_ntoa(address.sin_addr), ntohs(address.sin_port));
    return 0;
}

/* Closes the connections whose time is up. Does so at most once in an INTERVAL. */
static void check_deadlines(struct server *server)
{
    if (now() < server->next_check) return;
    server->next_check = now() + INTERVAL;
    for (int i = 0; i <= server->highest_fd; i++)
        if (server->connections[i].state != UNUSED && now() >= server->connections[i].deadline)
            serve_connection(server, &server->connections[i]); /* closes it: its time is up */
    watch(server, EPOLL_CTL_MOD, server->listener, EPOLLIN); /* accept() again, if it was paused */
}

/* Waits until the kernel reports events, and serves the connections that they belong to, for ever.
 * In between it checks the deadlines. */
static void server_run(struct server *server)
{
    struct epoll_event events[MAX_EVENTS];
    for (;;) {
        fflush(stdout); /* if it fails, nobody can read the log: no reason to stop */
        /* Waits at most INTERVAL. If a signal interrupts it, count is -1: there is no event. */
        int count = epoll_wait(server->epoll, events, MAX_EVENTS, INTERVAL);
        for (int i = 0; i < count; i++)
            if (events[i].data.fd == server->listener)
                accept_clients(server);
            else
                serve_connection(server, &server->connections[events[i].data.fd]);
        check_deadlines(server);
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
