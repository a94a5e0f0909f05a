/*
 * Stage 9, epoll: the kernel says which clients are ready. An idle connection costs almost nothing.
 *
 * New:     epoll: wait until one of many sockets is ready, and learn which. So connections stay
 *          open: each answer says how long it is (Content-Length), and the header fields of a
 *          request are read. Ten thousand connections need many descriptors, and few buffers.
 * Read:    main(), server_run(), watch(), accept_clients(), serve_connection(), receive_request(),
 *          start_response(), send_response(), check_deadlines(), read_fields().
 * See it:  start strace ./stage9_epoll/server 8888, and in a second terminal
 *          curl http://127.0.0.1:8888/ http://127.0.0.1:8888/style.css
 *          strace shows that the server sleeps in epoll_wait(), and that one accept4() is enough
 *          for both requests. Four times a second it wakes to check the deadlines.
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

enum {
    MAX_HEAD = 8192, /* bytes in the head of a request */
    MAX_LOG = 1024,  /* bytes of a request that are logged */
    TIMEOUT = 5,     /* seconds within which a client must send its request */

    SEND_TIMEOUT = 10,     /* seconds that the server waits until a client takes more bytes */
    SEND_BUFFER = 1048576, /* bytes that the kernel keeps until the client has them */
    CHUNK = 2097152,       /* bytes of a file that are sent at a time; then others are served */
    MAX_FDS = 65536,       /* entries in the table of connections, for the descriptors 0 to 65535 */
    MAX_EVENTS = 64,       /* events that the kernel reports at a time */
    INTERVAL = 250,        /* milliseconds from one check of the deadlines to the next */
};

/* The characters of a token, such as a method (RFC 9110, the standard of HTTP, section 5.6.2). */
static const char TOKEN[] = "!#$%&'*+-.^_`|~0123456789"
                            "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/* The characters of a host's name in a Host field (RFC 3986, section 3.2.2). */
static const char HOST[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                           "0123456789-._~%!$&'()*+,;=";

/* The status codes of this server. For each: the reason phrase, which stands after the code in the
 * status line, and an explanation for the person who reads the page of an error response. */
static const struct status {
    int code;
    const char *reason, *explanation;
} statuses[] = {
    {200, "OK", ""},
    {301, "Moved Permanently", "The address of a directory ends with a slash."},
    {400, "Bad Request",
     "Write GET /a.html HTTP/1.1 (%23 for #), one Host: 127.0.0.1, other fields as Name: value."},
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
    bool keep_alive;    /* the connection may stay open for another request */
};

/* A response. First the bytes in the buffer are sent, then the file, if there is one. */
struct response {
    int status;
    int file;      /* the descriptor of the open file, or -1 if there is none */
    size_t length; /* bytes in the buffer */
    /* The head, and the page of an error response or a small file. */
    char buffer[MAX_HEAD + 1024];
    off_t file_left; /* bytes of the file that are neither sent nor in the buffer */
    bool keep_alive; /* the connection stays open after this response */
};

/* What a client has sent, and the response to it. */
struct exchange {
    char text[MAX_HEAD + 1];
    struct response response;
};

/* What the server remembers of a connection. Its states:
 *   RECEIVING  the next request, or the rest of it, has to come;
 *   SENDING    the rest of a response has to be sent;
 *   DRAINING   the last response is sent, the client has to close; what it sends is thrown away;
 *   UNUSED     there is no connection: this entry of the table is free. */
struct connection {
    enum { UNUSED, RECEIVING, SENDING, DRAINING } state;
    int client;                /* the client's socket */
    double deadline;           /* when now() reaches this time, the client has been too slow */
    size_t length;             /* bytes in the text */
    struct exchange *exchange; /* the buffers, or NULL while nothing has come or is to be sent */
};

/* What a function for a state returns: go on at once with the next state, wait until the client is
 * ready, or close the connection. */
enum action { GO_ON, WAIT, CLOSE };

/* The server: what its functions share. */
struct server {
    int listener; /* the socket that accepts connections */
    int epoll;    /* the descriptor of the kernel's list of sockets to watch */
    /* The time of the next check of the deadlines. */
    double next_check;
    /* The table of connections: the index is the client's descriptor, highest_fd the highest so
     * far. */
    int highest_fd;
    struct connection connections[MAX_FDS];
};

/* Declarations: server_run() may call these functions, which are defined at the end. */
static void accept_clients(struct server *server);
static void serve_connection(struct server *server, struct connection *connection);

/* Returns the time in seconds, counted from some moment in the past. Unlike the clock of time(),
 * this one does not jump when the date is set. */
static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);                /* cannot fail: this clock always exists */
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9; /* tv_nsec counts nanoseconds */
}

/* Says which call has failed, and why. Returns the exit status of the program. A program asks the
 * kernel, the core of the operating system, with system calls such as socket(). One that fails
 * returns -1, and leaves the number of the error in errno; perror() prints its text on stderr. */
static int fail(const char *call)
{
    perror(call);
    return 1;
}

/* Tells the kernel which events of a socket to report: EPOLLIN, there is something to receive, or a
 * client to accept; EPOLLOUT, there is room to send. The operation is EPOLL_CTL_ADD for a socket
 * that is new on the kernel's list, EPOLL_CTL_MOD for one that is already on it. epoll_wait()
 * returns data with each event: so the server learns whose event it is. Returns false if the kernel
 * has no memory. */
static bool watch(struct server *server, int operation, int fd, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.fd = fd};
    return epoll_ctl(server->epoll, operation, fd, &event) == 0;
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
    /* access() says whether html/ is here and may be entered. */
    if (access("html/", X_OK) < 0)
        return fail("html/ (start the server in the directory that html/ is in)");
    /* socket() makes a socket, one end of a connection, and returns its descriptor: the number by
     * which this process knows it. This one will be the listener, where connections arrive. AF_INET
     * and SOCK_STREAM mean TCP, with addresses such as 127.0.0.1 (IPv4). With SOCK_NONBLOCK, no
     * call for this socket waits: if accept() has no connection, it fails at once. */
    server->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
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
    /* TCP_NODELAY: send the last, small piece of a response at once. Otherwise the kernel keeps it
     * back until the client has acknowledged the pieces before it. The sockets that accept4()
     * returns get this option from the listener. (If this fails, responses are only slower.) */
    setsockopt(server->listener, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    /* The kernel limits how many descriptors a process may have. The soft limit is the one that
     * counts; the process may raise it up to the hard limit. Each connection needs a descriptor. */
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0) return fail("getrlimit");
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit); /* if it fails, there is room for fewer clients */
    /* epoll_create1() makes an empty list of sockets, which the kernel watches for this process. */
    server->epoll = epoll_create1(0);
    if (server->epoll < 0 || !watch(server, EPOLL_CTL_ADD, server->listener, EPOLLIN))
        return fail("epoll");
    printf("listening on http://%s:%d/\n", inet_ntoa(address.sin_addr), ntohs(address.sin_port));
    return 0;
}

/* Serves the connections whose time is up, at most once in an INTERVAL. That closes them, unless
 * something has come, or there is room to send, that the kernel has not reported yet. */
static void check_deadlines(struct server *server)
{
    if (now() < server->next_check) return;
    server->next_check = now() + INTERVAL / 1000.0;
    for (int fd = 0; fd <= server->highest_fd; fd++)
        if (server->connections[fd].state != UNUSED && now() >= server->connections[fd].deadline)
            serve_connection(server, &server->connections[fd]);
    watch(server, EPOLL_CTL_MOD, server->listener, EPOLLIN); /* accept again, if it was paused */
}

/* Waits until the kernel reports events, and serves the connections that they belong to, for ever.
 * In between it checks the deadlines. */
static void server_run(struct server *server)
{
    struct epoll_event events[MAX_EVENTS];
    for (;;) {
        fflush(stdout); /* if it fails, the log is lost: no reason to stop */
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

/* Looks for a token in a list such as "keep-alive, Upgrade". Returns where it ends, or NULL. */
static const char *find_token(const char *list, const char *token)
{
    for (;;) {
        list += strspn(list, ", \t");
        size_t length = strspn(list, TOKEN);
        if (length == 0) return NULL;
        if (length == strlen(token) && strncasecmp(list, token, length) == 0) return list + length;
        list += length;
    }
}

/* True if the text from value to end is a host and maybe a port: "127.0.0.1:8888", "[::1]". It may
 * also be empty (RFC 9110, section 7.2). */
static bool is_host(const char *value, const char *end)
{
    if (*value == '[') { /* an IPv6 address */
        value += 1 + strspn(value + 1, ":.0123456789ABCDEFabcdef");
        if (*value != ']') return false;
        value++;
    } else
        value += strspn(value, HOST);
    if (*value == ':') value += 1 + strspn(value + 1, "0123456789");
    return value == end;
}

/* Reads the header fields, up to the blank line. Returns 200, or 400 if something is wrong with
 * them. Content-Length is the size of the body. Transfer-Encoding is a list of the ways in which
 * the body is coded; if the last one is "chunked", the body itself shows where it ends. The server
 * does not read a body: after the response it closes the connection, otherwise it would take the
 * body for the next request. HTTP/1.0 needs no Host, and closes the connection unless the client
 * asks for keep-alive. */
static int read_fields(const char *line, bool http_1_0, struct request *request)
{
    int hosts = 0, lengths = 0, codings = 0;
    bool keep_alive = !http_1_0, must_close = false, chunked = false;
    while (next_line(line) == NULL) {
        const char *colon = line + strspn(line, TOKEN); /* the name of the field ends there */
        if (colon == line || *colon != ':') return 400;
        const char *value = colon + 1 + strspn(colon + 1, " \t"), *end = value, *at = value;
        for (; *at == '\t' || !iscntrl((unsigned char)*at); at++)
            if (*at != ' ' && *at != '\t') end = at + 1; /* spaces at the end do not count */
        if (strncasecmp(line, "Host:", 5) == 0) {
            hosts++;
            if (!is_host(value, end)) return 400;
        } else if (strncasecmp(line, "Content-Length:", 15) == 0) {
            lengths++;
            const char *number_end = value + strspn(value, "0123456789");
            if (value == end || number_end != end) return 400;
            if (strtoull(value, NULL, 10) > 0) must_close = true; /* there is a body */
        } else if (strncasecmp(line, "Transfer-Encoding:", 18) == 0) {
            codings++;
            chunked = find_token(value, "chunked") == end; /* it is the last one of the list */
        } else if (strncasecmp(line, "Connection:", 11) == 0) {
            if (find_token(value, "close") != NULL) must_close = true;
            if (find_token(value, "keep-alive") != NULL) keep_alive = true;
        }
        line = next_line(at);
        if (line == NULL) return 400; /* the value has a control character */
    }
    if (hosts > 1 || (hosts == 0 && !http_1_0)) return 400;
    if (lengths > 1 || (codings > 0 && (lengths > 0 || !chunked))) return 400;
    request->keep_alive = keep_alive && !must_close && codings == 0;
    return 200;
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
    int status = read_fields(next_line(version + 8), version[7] == '0', request);
    if (status != 200) return status;
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
    response->file_left = about.st_size;
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
    to += snprintf(to, end - to, "Content-Length: %lld\r\n",
                   (long long)response->file_left + (long long)strlen(page));
    to += snprintf(to, end - to, "Connection: %s\r\n\r\n",
                   response->keep_alive ? "keep-alive" : "close");
    if (!request->head_only) to = stpcpy(to, page);
    response->length = (size_t)(to - response->buffer);
}

/* Closes the file of a response, if it is open. */
static void close_file(struct response *response)
{
    if (response->file >= 0) close(response->file);
    response->file = -1;
}

/* Puts a small file into the buffer, after its head: then one send() takes both. A file that is too
 * large, or is not read whole at once, is left to send_response(). */
static void add_small_file(struct response *response)
{
    char *end = response->buffer + response->length;
    off_t room = (off_t)(sizeof response->buffer - response->length);
    if (response->file < 0 || response->file_left > room) return;
    ssize_t count = pread(response->file, end, (size_t)response->file_left, 0);
    if (count < response->file_left) return;
    response->length += (size_t)count;
    close_file(response);
}

/* Reads the text of a request, and builds the response: its head, and an open file or the page of
 * an error response. head_length is what find_head_end() has returned: 0 if the text is full and
 * still has no blank line. */
static void build_response(const char *text, size_t head_length, struct response *response)
{
    char path[MAX_HEAD + 32]; /* room for "html", a target, and "index.html" */
    struct request request = {.target = "/", .head_only = strncmp(text, "HEAD ", 5) == 0};
    response->file = -1;
    response->file_left = 0;
    if (head_length > 0)
        response->status = read_request(text, &request);
    else
        response->status = memchr(text, '\n', MAX_HEAD) == NULL ? 414 : 431;
    if (response->status == 200) response->status = make_path(request.target, path);
    if (response->status == 200) response->status = open_file(path, response);
    /* If the path ends with a slash, it is index.html that is a directory: 301 would lead back. */
    const char *last = request.target + strcspn(request.target, "? ") - 1;
    if (response->status == 301 && *last == '/') response->status = 404;
    response->keep_alive = request.keep_alive && response->status != 400 && response->status < 500;
    write_head(response, &request, path);
    if (response->status != 200 || request.head_only) close_file(response);
    add_small_file(response);
}

/* True if the call that has just failed would have had to wait (EAGAIN, on some systems
 * EWOULDBLOCK), or was interrupted by a signal (EINTR): nothing is wrong with the connection, try
 * again later. */
static bool would_block(void)
{
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
}

/* Puts a new client into the table of connections. From now on its request is expected, and its
 * time runs. SO_SNDBUF: each time that there is room in the send buffer, the kernel reports an
 * event. With a larger buffer, a large file takes fewer of them. (The kernel may allow
 * less; then it takes more.) */
static void add_connection(struct server *server, int client)
{
    int send_buffer = SEND_BUFFER;
    setsockopt(client, SOL_SOCKET, SO_SNDBUF, &send_buffer, sizeof send_buffer);
    server->connections[client] =
        (struct connection){.state = RECEIVING, .client = client, .deadline = now() + TIMEOUT};
    if (client > server->highest_fd) server->highest_fd = client;
}

/* Accepts all clients that are waiting. accept4() is accept() with an option: SOCK_NONBLOCK makes
 * the new socket non-blocking, as the listener is. When no more clients are waiting, it fails with
 * EAGAIN. Any other error is a failure, such as too many open files: others may close theirs, so
 * the server tries again later. */
static void accept_clients(struct server *server)
{
    int client = accept4(server->listener, NULL, NULL, SOCK_NONBLOCK);
    while (client >= 0) {
        if (client >= MAX_FDS || !watch(server, EPOLL_CTL_ADD, client, EPOLLIN))
            close(client); /* there is no room for it */
        else
            add_connection(server, client);
        client = accept4(server->listener, NULL, NULL, SOCK_NONBLOCK);
    }
    if (!would_block()) {
        perror("accept");
        /* 0: report nothing, until check_deadlines() asks for EPOLLIN again. Otherwise epoll_wait()
         * would return at once, again and again. (This cannot fail: the socket is on the list.) */
        watch(server, EPOLL_CTL_MOD, server->listener, 0);
    }
}

/* Builds the response if the whole head of a request is in the text, or if the text is full: then
 * the head is too long. The connection is then SENDING. Otherwise more has to come. */
static enum action start_response(struct connection *connection)
{
    char *text = connection->exchange->text;
    size_t head_length = find_head_end(text, connection->length);
    if (head_length == 0 && connection->length < MAX_HEAD) return WAIT;
    build_response(text, head_length, &connection->exchange->response);
    log_request(text, connection->exchange->response.status);
    /* What follows this head, and maybe empty lines, is the next request: it moves to the front. */
    size_t used = head_length + strspn(text + head_length, "\r\n");
    connection->length -= used;
    memmove(text, text + used, connection->length + 1);
    connection->deadline = now() + SEND_TIMEOUT;
    connection->state = SENDING;
    return GO_ON;
}

/* RECEIVING: receives once, as much as has come, and puts it behind the text. Empty lines before a
 * request are left out. Memory is needed only if something has come: until then there is no
 * exchange. recv() on a non-blocking socket does not wait: if nothing has come, it fails. */
static enum action receive_request(struct connection *connection)
{
    char bytes[MAX_HEAD + 1];
    ssize_t count = recv(connection->client, bytes, MAX_HEAD - connection->length, 0);
    /* 0: the client has closed the connection. */
    if (count <= 0) return (count < 0 && would_block()) ? WAIT : CLOSE;
    if (connection->exchange == NULL) connection->exchange = malloc(sizeof *connection->exchange);
    if (connection->exchange == NULL) return CLOSE; /* out of memory */
    bytes[count] = '\0';
    size_t empty = connection->length == 0 ? strspn(bytes, "\r\n") : 0; /* their CR and LF */
    /* With the first byte of a request its own time begins. */
    if (connection->length == 0 && bytes[empty] != '\0') connection->deadline = now() + TIMEOUT;
    char *end = connection->exchange->text + connection->length;
    memcpy(end, bytes + empty, (size_t)count - empty + 1);
    connection->length += (size_t)count - empty;
    return start_response(connection);
}

/* SENDING: sends what is left in the buffer, and then at most CHUNK bytes of the file, but no more
 * than the socket takes without waiting. sendfile() sends bytes of a file without a detour through
 * a buffer of ours. Each time that the client has taken something, it has more time. At the end of
 * the response the connection stays open, and the next request may already be in the text; or the
 * server says with shutdown() that no more will come: the connection is DRAINING. */
static enum action send_response(struct connection *connection)
{
    struct response *response = &connection->exchange->response;
    if (response->length > 0) {
        /* MSG_MORE: the head waits in the kernel for the file, so that they leave together. */
        int flags = response->file >= 0 ? MSG_MORE : 0;
        ssize_t count = send(connection->client, response->buffer, response->length, flags);
        if (count < 0) return would_block() ? WAIT : CLOSE;
        response->length -= (size_t)count;
        memmove(response->buffer, response->buffer + count, response->length);
    }
    if (response->length == 0 && response->file >= 0) {
        size_t most = response->file_left < CHUNK ? (size_t)response->file_left : CHUNK;
        ssize_t count = sendfile(connection->client, response->file, NULL, most);
        /* 0: the file has become shorter. */
        if (count <= 0) return (count < 0 && would_block()) ? WAIT : CLOSE;
        response->file_left -= count;
        if (response->file_left == 0) close_file(response);
    }
    connection->deadline = now() + SEND_TIMEOUT;
    if (response->length > 0 || response->file >= 0) return WAIT;
    connection->deadline = now() + TIMEOUT;
    connection->state = response->keep_alive ? RECEIVING : DRAINING;
    if (response->keep_alive) return start_response(connection);
    shutdown(connection->client, SHUT_WR); /* if it fails, so does the next recv() */
    return WAIT;
}

/* DRAINING: receives and throws away, until the client closes or its time is up. If the server
 * closed the socket at once, and the client was still sending, the kernel would break off the
 * connection (it sends a reset), and the client could lose the end of the response. */
static enum action drain(struct connection *connection)
{
    ssize_t count = recv(connection->client, connection->exchange->text, MAX_HEAD, 0);
    return (count > 0 || (count < 0 && would_block())) ? WAIT : CLOSE;
}

/* Closes a connection, and frees its entry of the table. If a response is not sent to its end, half
 * a file must not look like a whole one: with SO_LINGER and a time of 0, close() breaks off the
 * connection with a reset, and after what has come, the client's recv() fails. */
static void close_connection(struct connection *connection)
{
    if (connection->state == SENDING) {
        close_file(&connection->exchange->response);
        struct linger reset = {.l_onoff = 1, .l_linger = 0};
        setsockopt(connection->client, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    }
    close(connection->client);
    free(connection->exchange);
    connection->state = UNUSED;
}

/* Serves a connection as far as it goes without waiting: a function for each state. After that its
 * state alone says which event it waits for, and whether it needs its buffers. Closes it if it is
 * over or if its time is up. What has come in time is served first. */
static void serve_connection(struct server *server, struct connection *connection)
{
    bool was_sending = connection->state == SENDING;
    enum action action = GO_ON;
    while (action == GO_ON)
        switch (connection->state) {
        case RECEIVING:
            action = receive_request(connection);
            break;
        case SENDING:
            action = send_response(connection);
            break;
        default: /* DRAINING */
            action = drain(connection);
        }
    bool sending = connection->state == SENDING;
    if (sending != was_sending) /* (this cannot fail: the socket is on the list) */
        watch(server, EPOLL_CTL_MOD, connection->client, sending ? EPOLLOUT : EPOLLIN);
    if (connection->state == RECEIVING && connection->length == 0) {
        free(connection->exchange); /* an idle connection has no buffers */
        connection->exchange = NULL;
    }
    if (action == CLOSE || now() >= connection->deadline) close_connection(connection);
}
