/*
 * Stage 8, nonblock: one thread, no call that waits, and connections that stay open.
 * See it:  ./stage8_nonblock/server 8888    curl -v http://127.0.0.1:8888/{,style.css}    top
 * Not yet: it asks every client all the time, and takes 100% of a CPU to do nothing.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
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
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    BACKLOG = 4096,  /* connections that may wait for accept(); the kernel may allow fewer */
    MAX_HEAD = 8192, /* bytes in the head of a request */
    MAX_PATH = 4096, /* bytes in the name of a file */
    MAX_LOG = 1024,  /* bytes of a request that are logged */
    CLIENTS = 65536, /* entries in the table of clients */
    TURN = 262144,   /* bytes that one client may take before the next has its turn */
    PATIENCE = 5000, /* milliseconds that a client may keep us waiting */
    PAUSE = 1000,    /* milliseconds without accept() when descriptors have run out */
};

/* The characters of a token, such as a method (RFC 9110, section 5.6.2). */
static const char TOKEN[] = "!#$%&'*+-.^_`|~0123456789"
                            "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/* How a request ends, by the error that stands in its way; the last row is for all others. */
static const struct outcome {
    int error;
    const char *status, *explanation;
} outcomes[] = {
    {0, "200 OK", ""},
    {EISDIR, "301 Moved Permanently", "The address of a folder ends with a slash."},
    {EINVAL, "400 Bad Request", "This is not a request as the server knows them."},
    {EACCES, "403 Forbidden", "This file may not be read."},
    {EOPNOTSUPP, "405 Method Not Allowed", "The methods here are GET and HEAD."},
    {EMSGSIZE, "431 Request Header Fields Too Large", "The head has more than 8 KiB."},
    {EMFILE, "503 Service Unavailable", "The server is out of descriptors."},
    {ENFILE, "503 Service Unavailable", "The machine is out of descriptors."},
    {ENOMEM, "503 Service Unavailable", "The server is out of memory."},
    {EPROTONOSUPPORT, "505 HTTP Version Not Supported", "The version here is HTTP/1.1."},
    {-1, "404 Not Found", "There is no such page. sorry, 您访问的页面不存在"},
};

/* Pairs of a suffix and the Content-Type that it stands for. */
static const char *const types[] = {
    ".html", "text/html; charset=utf-8",
    ".css",  "text/css; charset=utf-8",
    ".js",   "text/javascript; charset=utf-8",
    ".txt",  "text/plain; charset=utf-8",
    ".json", "application/json",
    ".svg",  "image/svg+xml",
    ".png",  "image/png",
    ".jpg",  "image/jpeg",
    ".gif",  "image/gif",
    ".webp", "image/webp",
    ".ico",  "image/x-icon",
    ".wasm", "application/wasm",
    ".pdf",  "application/pdf",
};

/* What we understand of a request. */
struct request {
    const char *target; /* in the text that came */
    bool head_only;     /* HEAD: the answer has no body */
    bool keep;          /* the connection stays open after the answer */
};

/* An answer before it is sent: its head, and the open file that is its body, or -1. */
struct response {
    int status;
    int file;
    size_t length;
    size_t sent, size; /* bytes that are sent; bytes of the file, which follow the head */
    bool keep;
    char head[MAX_HEAD + 1024]; /* and what is sent with it, such as the page of a refusal */
};

/* What came from a client, maybe several requests, and the answer to the first of them. */
struct exchange {
    size_t length, head; /* bytes in text, bytes of the first request */
    char text[MAX_HEAD + 1];
    struct response response;
};

/* What is remembered of a client from one turn to the next. */
struct client {
    enum { FREE, RECEIVING, SENDING, LEAVING } state;
    int socket;
    long long deadline;
    struct exchange *exchange; /* NULL while nothing is under way */
};

/* The server: what its functions share. */
struct server {
    int listener, end;              /* end: behind the highest entry that was used */
    long long pause_until;          /* when to accept() again after running out */
    struct client clients[CLIENTS]; /* by the number of the socket */
};

/* What came of a step that a client took. */
enum progress { DONE, BLOCKED, OVER };

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

/* Where a word ends: at a space or a control character, so at the end of its line too. */
static const char *word_end(const char *text)
{
    while ((unsigned char)*text > ' ' && *text != 127)
        text++;
    return text;
}

/* Where the next line starts, if a line ends here; else NULL. */
static const char *next_line(const char *text)
{
    text += *text == '\r';
    return *text == '\n' ? text + 1 : NULL;
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

/* True if a list such as "keep-alive, Upgrade" has this token. */
static bool lists(const char *list, const char *token)
{
    size_t length = 0;
    do {
        list += length + strspn(list + length, ", \t");
        length = strspn(list, TOKEN);
    } while (length > 0 && (length != strlen(token) || strncasecmp(list, token, length) != 0));
    return length > 0;
}

/* Reads the header fields, up to the blank line. Returns 0, or the error if one is ill-formed. */
static int read_fields(const char *line, bool http10, struct request *request)
{
    bool keep = !http10, closing = false;
    int hosts = 0;
    for (const char *next; next_line(line) == NULL; line = next) {
        const char *colon = line + strspn(line, TOKEN), *end = word_end(colon);
        while (*end == ' ' || *end == '\t')
            end = word_end(end + 1);
        next = next_line(end);
        if (colon == line || *colon != ':' || next == NULL) return EINVAL;
        const char *value = colon + 1 + strspn(colon + 1, " \t");
        /* A body is not read, so the connection ends: or it would be the next request. */
        bool body =
            strncasecmp(line, "Transfer-Encoding:", 18) == 0 ||
            (strncasecmp(line, "Content-Length:", 15) == 0 && (*value != '0' || end != value + 1));
        bool connection = strncasecmp(line, "Connection:", 11) == 0;
        hosts += strncasecmp(line, "Host:", 5) == 0;
        keep = keep || (connection && lists(value, "keep-alive"));
        closing = closing || body || (connection && lists(value, "close"));
    }
    request->keep = keep && !closing;
    return hosts == 1 || (hosts == 0 && http10) ? 0 : EINVAL;
}

/* Reads a request: "GET /a.html HTTP/1.1". Returns 0, or the error that it is refused for. */
static int read_request(const char *line, struct request *request)
{
    const char *target = line + strspn(line, TOKEN);
    request->head_only = strncmp(line, "HEAD ", 5) == 0;
    if (target == line || *target++ != ' ') return EINVAL;
    const char *version = word_end(target);
    if (version == target || *version++ != ' ') return EINVAL;
    const char *end = word_end(version);
    if (next_line(end) == NULL) return EINVAL;
    if (strncmp(version, "HTTP/", 5) == 0 && version[5] >= '2' && version[5] <= '9')
        return EPROTONOSUPPORT;
    if (strncmp(version, "HTTP/1.", 7) != 0 || end != version + 8 || version[7] < '0' ||
        version[7] > '9')
        return EINVAL;
    if (strncasecmp(target, "http://", 7) == 0) { /* as to a proxy: RFC 9112, section 3.2.2 */
        target += 7 + strcspn(target + 7, "/? ");
        if (*target != '/') target = "/";
    }
    request->target = target;
    if (read_fields(next_line(end), version[7] == '0', request) != 0) return EINVAL;
    return request->head_only || strncmp(line, "GET ", 4) == 0 ? 0 : EOPNOTSUPP;
}

/* Writes the name of the file that a target names: decoded, and without its query. Returns 0,
 * or the error if it names none. */
static int make_path(const char *target, char *path)
{
    const char *from = target + strspn(target, "/"); /* one slash: "//a" would be a host */
    size_t length = strlen(strcpy(path, "html/"));
    if (from == target) return EINVAL;
    for (; strchr("? \r\n", *from) == NULL; from++) {
        char byte = *from;
        if (byte == '%') {
            char digits[3] = {from[1], from[2], '\0'};
            if (strspn(digits, "0123456789ABCDEFabcdef") != 2) return EINVAL;
            byte = (char)strtol(digits, NULL, 16);
            from += 2;
        }
        if (byte == '\0' || length == MAX_PATH - sizeof "index.html") return ENOENT;
        path[length++] = byte;
    }
    strcpy(path + length, path[length - 1] == '/' ? "index.html" : "");
    for (const char *dots = path; (dots = strstr(dots, "/..")) != NULL; dots += 3)
        if (dots[3] == '/' || dots[3] == '\0') return ENOENT; /* ".." leads out of html/ */
    return 0;
}

/* Opens a file to read, and tells about it. Returns its descriptor, or -1, and errno. */
static int open_file(const char *path, struct stat *about)
{
    /* O_NONBLOCK: else opening a FIFO waits until somebody writes into it. */
    int file = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    if (file < 0 || (fstat(file, about) == 0 && S_ISREG(about->st_mode))) return file;
    close(file);
    errno = S_ISDIR(about->st_mode) ? EISDIR : ENOENT;
    return -1;
}

/* The Content-Type of a file, by its suffix. */
static const char *content_type(const char *path)
{
    const char *suffix = strrchr(path, '.');
    for (size_t i = 0; suffix != NULL && i < sizeof types / sizeof types[0]; i += 2)
        if (strcasecmp(suffix, types[i]) == 0) return types[i + 1];
    return "application/octet-stream";
}

/* Writes the head of an answer. A refusal is a page that says why; it repeats nothing of the
 * request, because that could be a script. */
static void write_head(struct response *response, const struct request *request, int error,
                       const char *path)
{
    const struct outcome *outcome = outcomes;
    const char *type = error == 0 ? content_type(path) : "text/html; charset=utf-8", *fields = "";
    char page[512] = "", location[MAX_HEAD + 32];
    while (outcome->error != error && outcome->error != -1)
        outcome++;
    if (error != 0)
        snprintf(page, sizeof page, "<!DOCTYPE html>\n<title>%s</title>\n<h1>%s</h1>\n<p>%s</p>\n",
                 outcome->status, outcome->status, outcome->explanation);
    if (error == EISDIR) {
        const char *from = request->target + strspn(request->target, "/");
        snprintf(location, sizeof location, "Location: /%.*s/\r\n", (int)strcspn(from, "? "), from);
        fields = location;
    } else if (error == EOPNOTSUPP)
        fields = "Allow: GET, HEAD\r\n";
    response->status = atoi(outcome->status);
    response->keep = request->keep && error != EINVAL;
    response->sent = 0;
    response->length =
        (size_t)snprintf(response->head, sizeof response->head,
                         "HTTP/1.1 %s\r\nContent-Type: %s\r\n%s"
                         "Content-Length: %zu\r\nConnection: %s\r\n\r\n%s",
                         outcome->status, type, fields, response->size + strlen(page),
                         response->keep ? "keep-alive" : "close", request->head_only ? "" : page);
}

/* The text of a request in; the head of an answer, and an open file or none, out. */
static void answer(const char *text, size_t length, struct response *response)
{
    struct request request = {0};
    char path[MAX_PATH];
    struct stat about = {0};
    int error = read_request(text, &request);
    if (head_length(text, length) == 0) error = EMSGSIZE;
    if (error == 0) error = make_path(request.target, path);
    response->file = error == 0 ? open_file(path, &about) : -1;
    if (error == 0 && response->file < 0) error = errno;
    if (error == EISDIR && request.target[strcspn(request.target, "? ") - 1] == '/')
        error = ENOENT; /* its index.html is a folder: one slash more would not help */
    response->size = error == 0 ? (size_t)about.st_size : 0;
    write_head(response, &request, error, path);
    if (request.head_only) response->size = 0;
    size_t size = response->size; /* a small file costs less as a part of the head */
    if (size > 0 && size <= sizeof response->head - response->length &&
        pread(response->file, response->head + response->length, size, 0) == (ssize_t)size) {
        response->length += size;
        response->size = 0;
    }
    if (response->file >= 0 && request.head_only) {
        close(response->file);
        response->file = -1;
    }
}

/* Forgets a request that is answered, and the empty lines in front of the next one. */
static void drop_text(struct exchange *exchange, size_t count)
{
    count += strspn(exchange->text + count, "\r\n");
    exchange->length -= count;
    memmove(exchange->text, exchange->text + count, exchange->length + 1);
}

/* Receives a piece of a request, and answers the request when its head is whole. */
static enum progress receive_request(struct client *client)
{
    struct exchange *exchange = client->exchange;
    exchange->head = head_length(exchange->text, exchange->length);
    if (exchange->head > 0 || exchange->length == MAX_HEAD) {
        answer(exchange->text, exchange->length, &exchange->response);
        log_request(exchange->text, exchange->length, exchange->response.status);
        client->state = SENDING;
        client->deadline = now() + PATIENCE;
        return DONE;
    }
    char *end = exchange->text + exchange->length;
    ssize_t count = recv(client->socket, end, MAX_HEAD - exchange->length, 0);
    if (count <= 0) return count < 0 && try_again() ? BLOCKED : OVER;
    if (client->state == LEAVING) /* thrown away: close() with unread input would reset the */
        return BLOCKED;           /* connection, and that destroys an answer on its way */
    end[count] = '\0';
    exchange->length += (size_t)count;
    drop_text(exchange, 0);
    return exchange->length > 0 ? DONE : BLOCKED;
}

/* The answer is sent: on to the next request, or to the end of the connection. */
static enum progress end_answer(struct client *client)
{
    struct exchange *exchange = client->exchange;
    if (exchange->response.file >= 0) close(exchange->response.file);
    client->state = exchange->response.keep ? RECEIVING : LEAVING;
    drop_text(exchange, client->state == LEAVING ? exchange->length : exchange->head);
    if (client->state == LEAVING)
        shutdown(client->socket, SHUT_WR); /* fails if the client is gone; recv() tells */
    return exchange->length > 0 ? DONE : BLOCKED;
}

/* Sends a piece of an answer, no more than is left of the client's turn. */
static enum progress send_answer(struct client *client, size_t *turn)
{
    struct response *response = &client->exchange->response;
    bool head = response->sent < response->length;
    size_t left = response->length + (head ? 0 : response->size) - response->sent;
    size_t most = left < *turn ? left : *turn;
    int more = response->size > 0 ? MSG_MORE : 0; /* the head waits for its file */
    ssize_t count = head ? send(client->socket, response->head + response->sent, most, more)
                         : sendfile(client->socket, response->file, NULL, most);
    if (count <= 0) /* 0: the file has become shorter than its head says */
        return count < 0 && try_again() ? BLOCKED : OVER;
    client->deadline = now() + PATIENCE;
    *turn -= (size_t)count;
    response->sent += (size_t)count;
    return response->sent < response->length + response->size ? DONE : end_answer(client);
}

/* Gives a client its turn: it goes as far as it can without waiting. */
static void serve_client(struct client *client)
{
    if (client->exchange == NULL && (client->exchange = malloc(sizeof *client->exchange)) != NULL)
        client->exchange->length = 0;
    enum progress progress = client->exchange == NULL ? OVER : DONE;
    for (size_t turn = TURN; progress == DONE && turn > 0;)
        progress = client->state == SENDING ? send_answer(client, &turn) : receive_request(client);
    bool over = progress == OVER || now() >= client->deadline;
    if (over && client->state == SENDING && client->exchange->response.file >= 0)
        close(client->exchange->response.file);
    if (over || client->exchange->length == 0) {
        free(client->exchange); /* a client that is idle costs no memory */
        client->exchange = NULL;
    }
    if (over) {
        close(client->socket); /* whatever it returns, the descriptor is free */
        client->state = FREE;
    }
}

/* Accepts a client, if one waits. Nothing that a client does ends the server; when it is out of
 * descriptors, it waits until some are free. */
static void accept_client(struct server *server)
{
    if (now() < server->pause_until) return;
    int client = accept4(server->listener, NULL, NULL, SOCK_NONBLOCK);
    if (client >= CLIENTS)
        close(client);
    else if (client >= 0) {
        server->clients[client] = (struct client){RECEIVING, client, now() + PATIENCE, NULL};
        server->end = client >= server->end ? client + 1 : server->end;
    } else if (!try_again() && errno != ECONNABORTED) {
        perror("accept");
        server->pause_until = now() + PAUSE;
    }
}

/* Says what failed, and why. Returns the exit status. */
static int fail(const char *what)
{
    perror(what);
    return 1;
}

/* Starts to listen. Returns 0, or the exit status after saying what failed. */
static int server_init(struct server *server, struct sockaddr_in address)
{
    setvbuf(stdout, NULL, _IOFBF, BUFSIZ); /* the lines of a round are written together */
    signal(SIGPIPE, SIG_IGN);              /* to send to a closed socket is an error, no more */
    if (access("html/", X_OK) < 0)
        return fail("html/ (start the server in the folder that holds html/)");
    server->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (server->listener < 0) return fail("socket");
    /* Connections of the last run linger for a minute; the port is ours all the same. */
    int yes = 1;
    if (setsockopt(server->listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) < 0 ||
        setsockopt(server->listener, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes) < 0)
        return fail("setsockopt");
    if (bind(server->listener, (struct sockaddr *)&address, sizeof address) < 0) {
        fprintf(stderr, "bind %s:%d: %s\n", inet_ntoa(address.sin_addr), ntohs(address.sin_port),
                strerror(errno));
        return 1;
    }
    if (listen(server->listener, BACKLOG) < 0) return fail("listen");
    socklen_t size = sizeof address;
    if (getsockname(server->listener, (struct sockaddr *)&address, &size) < 0) /* was it port 0? */
        return fail("getsockname");
    printf("listening on http://%s:%d/\n", inet_ntoa(address.sin_addr), ntohs(address.sin_port));
    return 0;
}

/* Asks for new clients, and gives every client its turn, for ever. */
static void server_run(struct server *server)
{
    for (;;) {
        fflush(stdout); /* fails if nobody can read the log: that is no reason to stop */
        accept_client(server);
        for (int i = 0; i < server->end; i++)
            if (server->clients[i].state != FREE) serve_client(&server->clients[i]);
    }
}

/* Reads "PORT [ADDRESS]" from the arguments. False if that is not what they are. */
static bool read_arguments(int count, char **arguments, struct sockaddr_in *address)
{
    if (count < 2 || count > 3) return false;
    const char *port = arguments[1];
    size_t length = strlen(port);
    if (length < 1 || length > 5 || strspn(port, "0123456789") != length || atoi(port) > 65535)
        return false;
    address->sin_port = htons((in_port_t)atoi(port));
    return inet_pton(AF_INET, count == 3 ? arguments[2] : "127.0.0.1", &address->sin_addr) == 1;
}

int main(int argc, char **argv)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    if (!read_arguments(argc, argv, &address)) {
        fprintf(stderr, "usage: %s PORT [ADDRESS]    for instance: %s 8888\n", argv[0], argv[0]);
        return 2;
    }
    static struct server server; /* starts as zeros: every entry of the table is FREE */
    int status = server_init(&server, address);
    if (status == 0) server_run(&server);
    return status;
}
