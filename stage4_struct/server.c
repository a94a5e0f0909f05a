/*
 * Stage 4, struct: what the server is goes into a struct, what it does into init and run.
 * See it:  curl -i http://127.0.0.1:8080/ and all else: to the byte what stage 3 answers
 * Not yet: the port is fixed.
 */
#define _POSIX_C_SOURCE 200809L
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
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

enum {
    PORT = 8080,
    BACKLOG = 4096,  /* connections that may wait for accept(); the kernel may allow fewer */
    MAX_HEAD = 8192, /* bytes in the head of a request */
    MAX_PATH = 4096, /* bytes in the name of a file */
    MAX_LOG = 1024,  /* bytes of a request that are logged */
    CHUNK = 32768,   /* bytes of a file that are read and sent at a time */
    PATIENCE = 5000, /* milliseconds that a client may keep us waiting */
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
};

/* An answer before it is sent: its head, and the open file that is its body, or -1. */
struct response {
    int status;
    int file;
    size_t length;
    char head[MAX_HEAD + 1024]; /* and what is sent with it, such as the page of a refusal */
};

/* The server: what its functions share. */
struct server {
    int listener;
};

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

/* Where a word ends: at a space or a control character, so at the end of its line too. */
static const char *word_end(const char *text)
{
    while ((unsigned char)*text > ' ' && *text != 127)
        text++;
    return text;
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

/* Reads a request: "GET /a.html HTTP/1.1". Returns 0, or the error that it is refused for. */
static int read_request(const char *line, struct request *request)
{
    const char *target = line + strspn(line, TOKEN);
    request->head_only = strncmp(line, "HEAD ", 5) == 0;
    if (target == line || *target++ != ' ') return EINVAL;
    const char *version = word_end(target);
    if (version == target || *version++ != ' ') return EINVAL;
    const char *end = word_end(version);
    if (*end != '\n' && strncmp(end, "\r\n", 2) != 0) return EINVAL;
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
    response->length =
        (size_t)snprintf(response->head, sizeof response->head,
                         "HTTP/1.1 %s\r\nContent-Type: %s\r\n%s"
                         "Connection: close\r\n\r\n%s",
                         outcome->status, type, fields, request->head_only ? "" : page);
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
    write_head(response, &request, error, path);
    if (response->file >= 0 && request.head_only) {
        close(response->file);
        response->file = -1;
    }
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
    struct response response;
    answer(text, length, &response);
    log_request(text, length, response.status);
    bool sent = send_all(client, response.head, response.length);
    char chunk[CHUNK];
    ssize_t count = 0;
    while (sent && response.file >= 0 && (count = read(response.file, chunk, sizeof chunk)) > 0)
        sent = send_all(client, chunk, (size_t)count);
    if (response.file >= 0) close(response.file);
    return sent && count == 0;
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

/* Starts to listen. Returns 0, or the exit status after saying what failed. */
static int server_init(struct server *server)
{
    setvbuf(stdout, NULL, _IOLBF, BUFSIZ); /* a line is seen at once, in a pipe too */
    signal(SIGPIPE, SIG_IGN);              /* to send to a closed socket is an error, no more */
    if (access("html/", X_OK) < 0)
        return fail("html/ (start the server in the folder that holds html/)");
    server->listener = socket(AF_INET, SOCK_STREAM, 0);
    if (server->listener < 0) return fail("socket");
    /* Connections of the last run linger for a minute; the port is ours all the same. */
    int yes = 1;
    if (setsockopt(server->listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) < 0)
        return fail("setsockopt");
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    address.sin_addr.s_addr = inet_addr("127.0.0.1"); /* only this machine gets in */
    if (bind(server->listener, (struct sockaddr *)&address, sizeof address) < 0)
        return fail("bind 127.0.0.1:8080");
    if (listen(server->listener, BACKLOG) < 0) return fail("listen");
    printf("listening on http://127.0.0.1:%d/\n", PORT);
    return 0;
}

/* Serves one client after another, for ever. */
static void server_run(struct server *server)
{
    for (;;) {
        int client = accept_client(server->listener);
        if (client >= 0) handle_client(client);
    }
}

int main(void)
{
    struct server server;
    int status = server_init(&server);
    if (status == 0) server_run(&server);
    return status;
}
