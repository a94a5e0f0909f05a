/* Homework 6. A child for every client; in it, a socket that never blocks, and poll(). Requests are
 * taken apart by two little state machines: one finds the end of the head, one reads its first line. */
#define _POSIX_C_SOURCE 200809L
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define HEAD_MAX 8192
#define WAIT_MS 5000

/* ---- waiting ---- */

static int64_t clock_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* 1 when the socket is ready (an error is ready too: the next call tells), 0 when time is up. */
static int ready(int fd, short events, int64_t until)
{
    int64_t left;
    while ((left = until - clock_ms()) > 0) {
        struct pollfd p = {.fd = fd, .events = events};
        int n = poll(&p, 1, (int)left);
        if (n > 0) return 1;
        if (n < 0 && errno != EINTR) return 0;
    }
    return 0;
}

/* ---- the end of the head ---- */

enum where { LINE_START, LINE_START_CR, INSIDE_LINE };

struct head {
    char text[HEAD_MAX + 1];
    size_t used;
    enum where where;
};

enum feed { MORE, COMPLETE, TOO_LONG };

static enum feed feed(struct head *h, char c)
{
    if (h->used == HEAD_MAX) return TOO_LONG;
    h->text[h->used++] = c;
    h->text[h->used] = '\0';
    if (c == '\n' && h->where != INSIDE_LINE) {
        if (h->used > 2) return COMPLETE;
        h->used = 0; /* an empty line in front of everything */
    }
    if (c == '\n')
        h->where = LINE_START;
    else
        h->where = c == '\r' && h->where == LINE_START ? LINE_START_CR : INSIDE_LINE;
    return MORE;
}

/* MORE means that nothing came of it: the client has left, or is too slow. */
static enum feed receive(int fd, struct head *h)
{
    int64_t until = clock_ms() + WAIT_MS;
    char bytes[2048];
    while (ready(fd, POLLIN, until)) {
        ssize_t n = recv(fd, bytes, sizeof bytes, 0);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) continue;
        if (n <= 0) break;
        for (ssize_t i = 0; i < n; i++) {
            enum feed f = feed(h, bytes[i]);
            if (f != MORE) return f;
        }
    }
    return MORE;
}

/* ---- the request line ---- */

enum class { TOKEN, HASH, VISIBLE, SPACE, CR, LF, CONTROL, CLASSES };
enum state { M0, METHOD, T0, TARGET, V0, VERSION, WANT_LF, STATES, DONE = STATES, BAD };

/* Columns: TOKEN, HASH (a # in a method is fine, in a target it is not), VISIBLE, SPACE, CR, LF, CONTROL. */
static const unsigned char next_state[STATES][CLASSES] = {
    [M0] = {METHOD, METHOD, BAD, BAD, BAD, BAD, BAD},
    [METHOD] = {METHOD, METHOD, BAD, T0, BAD, BAD, BAD},
    [T0] = {TARGET, BAD, TARGET, BAD, BAD, BAD, BAD},
    [TARGET] = {TARGET, BAD, TARGET, V0, BAD, BAD, BAD},
    [V0] = {VERSION, VERSION, VERSION, BAD, BAD, BAD, BAD},
    [VERSION] = {VERSION, VERSION, VERSION, BAD, WANT_LF, DONE, BAD},
    [WANT_LF] = {BAD, BAD, BAD, BAD, BAD, DONE, BAD},
};

static enum class class_of(unsigned char c)
{
    if (c == ' ') return SPACE;
    if (c == '#') return HASH;
    if (c == '\r') return CR;
    if (c == '\n') return LF;
    if (c < 32 || c == 127) return CONTROL;
    return c < 127 && strchr("\"(),/:;<=>?@[\\]{}", c) == NULL ? TOKEN : VISIBLE;
}

struct word {
    const char *at;
    int len;
};

struct line {
    struct word method, target, version;
};

static int is(struct word w, const char *text)
{
    return (size_t)w.len == strlen(text) && memcmp(w.at, text, (size_t)w.len) == 0;
}

/* 0, or the status of the error. */
static int parse_line(const struct head *h, struct line *l)
{
    enum state s = M0;
    for (size_t i = 0; i < h->used && s < DONE; i++) {
        s = next_state[s][class_of((unsigned char)h->text[i])];
        struct word *w = s == METHOD ? &l->method : s == TARGET ? &l->target : &l->version;
        if (s != METHOD && s != TARGET && s != VERSION) continue;
        if (w->len++ == 0) w->at = h->text + i;
    }
    if (s != DONE || l->version.len < 6 || memcmp(l->version.at, "HTTP/", 5) != 0) return 400;
    const char *v = l->version.at + 5; /* "1.1" */
    if (l->version.len != 6 && (l->version.len != 8 || v[1] != '.' || v[2] < '0' || v[2] > '9')) return 400;
    if (v[0] >= '2' && v[0] <= '9') return 505;
    if (v[0] != '1' || l->version.len != 8) return 400;
    return is(l->method, "GET") || is(l->method, "HEAD") ? 0 : 405;
}

/* ---- from target to file ---- */

static int hex(char c)
{
    const char *digits = "0123456789abcdef", *d = c ? strchr(digits, c | 32) : NULL;
    return d != NULL && (c > '9' || (c >= '0' && c <= '9')) ? (int)(d - digits) : -1;
}

/* Leaves out "http://host", and the query. */
static struct word path_of(struct word t)
{
    if (t.len > 7 && strncasecmp(t.at, "http://", 7) == 0) {
        int i = 7;
        while (i < t.len && t.at[i] != '/' && t.at[i] != '?')
            i++;
        if (i == 7) return (struct word){"", 0}; /* no host: no path either */
        if (i == t.len || t.at[i] == '?') return (struct word){"/", 1};
        t.at += i, t.len -= i;
    }
    const char *query = memchr(t.at, '?', (size_t)t.len);
    if (query != NULL) t.len = (int)(query - t.at);
    return t;
}

/* The query with its question mark, or nothing. */
static struct word query_of(struct word t)
{
    const char *mark = memchr(t.at, '?', (size_t)t.len);
    return mark != NULL ? (struct word){mark, (int)(t.at + t.len - mark)} : (struct word){"", 0};
}

/* Decodes into a name that starts with "html/". 0, or a status. */
static int name_of(struct word p, char *name, size_t size)
{
    size_t n = 4, segment = 5;
    int refused = 0;
    memcpy(name, "html", 4);
    if (p.len == 0 || p.at[0] != '/') return 400;
    for (int i = 0; i <= p.len; i++) {
        int c = i < p.len ? (unsigned char)p.at[i] : '/'; /* a slash more, to end the last segment */
        if (i < p.len && c == '%') {
            int high = i + 2 < p.len ? hex(p.at[i + 1]) : -1, low = high >= 0 ? hex(p.at[i + 2]) : -1;
            if (low < 0) return 400;
            c = high * 16 + low, i += 2;
        }
        if (c == '/' && n == segment + 2 && memcmp(name + segment, "..", 2) == 0) refused = 404;
        if (c == '\0' || n + sizeof "index.html" >= size) refused = 404;
        if (!refused && i < p.len) name[n++] = (char)c;
        if (c == '/') segment = n;
    }
    name[n] = '\0';
    if (name[n - 1] == '/') strcpy(name + n, "index.html");
    return refused;
}

/* 200 and a descriptor, or another status. */
static int open_name(const char *name, int *file)
{
    struct stat st;
    *file = open(name, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (*file < 0) {
        switch (errno) {
        case ENOENT: case ENOTDIR: case ENAMETOOLONG: case ELOOP: case ENXIO: return 404;
        case EMFILE: case ENFILE: case ENOMEM: return 503;
        case EACCES: return 403;
        default: return 500;
        }
    }
    int known = fstat(*file, &st) == 0;
    if (known && S_ISREG(st.st_mode)) return 200;
    close(*file);
    *file = -1;
    return known && S_ISDIR(st.st_mode) ? 301 : 404;
}

static const char *type_of(const char *name)
{
    static const struct {
        const char *suffix, *type;
    } table[] = {
        {"css", "text/css; charset=utf-8"},   {"gif", "image/gif"},
        {"html", "text/html; charset=utf-8"}, {"ico", "image/x-icon"},
        {"htm", "text/html; charset=utf-8"},  {"jpeg", "image/jpeg"},
        {"mjs", "application/javascript; charset=utf-8"}, {"mp4", "video/mp4"},
        {"jpg", "image/jpeg"},                {"js", "application/javascript; charset=utf-8"},
        {"json", "application/json; charset=utf-8"}, {"pdf", "application/pdf"},
        {"png", "image/png"},                 {"svg", "image/svg+xml; charset=utf-8"},
        {"txt", "text/plain; charset=utf-8"}, {"wasm", "application/wasm"},
        {"webp", "image/webp"},
    };
    const char *base = strrchr(name, '/') + 1, *dot = strrchr(base, '.');
    for (size_t i = 0; dot != NULL && i < sizeof table / sizeof *table; i++)
        if (strcmp(dot + 1, table[i].suffix) == 0) return table[i].type;
    return "application/octet-stream";
}

/* ---- the answer ---- */

static const char *reason_of(int status)
{
    switch (status) {
    case 200: return "OK";
    case 301: return "Moved Permanently";
    case 400: return "Bad Request";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 414: return "URI Too Long";
    case 431: return "Request Header Fields Too Large";
    case 500: return "Internal Server Error";
    case 503: return "Service Unavailable";
    default: return "HTTP Version Not Supported";
    }
}

static int push(int fd, const char *bytes, size_t len)
{
    int64_t until = clock_ms() + WAIT_MS;
    while (len > 0) {
        ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);
        if (n > 0) {
            bytes += n, len -= (size_t)n;
            until = clock_ms() + WAIT_MS;
        } else if (errno != EINTR && errno != EAGAIN) {
            return 0;
        } else if (!ready(fd, POLLOUT, until)) {
            return 0;
        }
    }
    return 1;
}

static int answer(int fd, int status, const char *name, int file, struct line l)
{
    char head[HEAD_MAX + 2048], chunk[16384];
    struct word p = {"", 0}, q = p;
    if (status == 301) p = path_of(l.target), q = query_of(l.target);
    while (p.len > 1 && p.at[1] == '/') /* "//directory/" would be a host */
        p.at++, p.len--;
    time_t now = time(NULL);
    char date[40];
    strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", gmtime(&now));
    int n = snprintf(head, sizeof head, "HTTP/1.1 %d %s\r\nDate: %s\r\nConnection: close\r\nContent-Type: %s\r\n%s%.*s%s%.*s%s%s\r\n",
                     status, reason_of(status), date, status == 200 ? type_of(name) : "text/html; charset=utf-8",
                     p.len ? "Location: " : "", p.len, p.at, p.len ? "/" : "", q.len, q.at, p.len ? "\r\n" : "",
                     status == 405 ? "Allow: GET, HEAD\r\n" : "");
    int body = !is(l.method, "HEAD");
    if (status != 200 && body)
        n += snprintf(head + n, sizeof head - (size_t)n,
                      "<!doctype html><meta charset=utf-8><title>Error %d</title><h1>Error %d: %s</h1>%s\n", status,
                      status, reason_of(status), status == 404 ? "<p>No such page. sorry, 您访问的页面不存在" : "");
    int good = push(fd, head, (size_t)n);
    ssize_t count = 0;
    while (good && body && file >= 0 && (count = read(file, chunk, sizeof chunk)) > 0)
        good = push(fd, chunk, (size_t)count);
    return good && count == 0;
}

/* The first two words, with what is not printable as \xNN, in a single write. */
static void note(const struct head *h, int status)
{
    char out[2100];
    int n = 0, words = 1;
    for (size_t i = 0; i < h->used && n < 2000; i++) {
        unsigned char c = (unsigned char)h->text[i];
        if (c == '\r' || c == '\n' || (c == ' ' && ++words > 2)) break;
        n += snprintf(out + n, 5, c >= 32 && c < 127 ? "%c" : "\\x%02x", c);
    }
    dprintf(STDOUT_FILENO, "[%d] %.*s %d\n", (int)getpid(), n, out, status);
}

/* What the client still sends is read and forgotten; else the kernel sends RST on close. */
static void hang_up(int fd)
{
    char waste[8192];
    int64_t until = clock_ms() + WAIT_MS;
    shutdown(fd, SHUT_WR);
    while (ready(fd, POLLIN, until)) {
        ssize_t n = recv(fd, waste, sizeof waste, 0);
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) return;
    }
}

static void child_main(int fd)
{
    static struct head h;
    struct line l = {{"", 0}, {"", 0}, {"", 0}};
    char name[4096] = "";
    int file = -1, room = 65536;
    /* Not too much on its way, so that POLLOUT means: the client has read some of it. */
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0) return;
    enum feed f = receive(fd, &h);
    if (f == MORE) return;
    int too_long = memchr(h.text, '\n', h.used) != NULL ? 431 : 414;
    int status = f == TOO_LONG ? too_long : parse_line(&h, &l);
    if (status == 0) status = name_of(path_of(l.target), name, sizeof name);
    if (status == 0) status = open_name(name, &file);
    size_t len = strlen(name);
    if (status == 301 && len > 11 && strcmp(name + len - 11, "/index.html") == 0) status = 404;
    note(&h, status);
    struct linger reset = {.l_onoff = 1}; /* a part of a page must not look like a page */
    if (answer(fd, status, name, file, l))
        hang_up(fd);
    else
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
}

/* ---- the parent ---- */

static void reap(int sig)
{
    int keep = errno;
    (void)sig;
    while (waitpid(-1, NULL, WNOHANG) > 0)
        ;
    errno = keep;
}

static void loop(int listener)
{
    for (;;) {
        struct pollfd p = {.fd = listener, .events = POLLIN};
        if (poll(&p, 1, -1) < 0) continue; /* a child has ended */
        int fd = accept(listener, NULL, NULL);
        if (fd < 0) {
            if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED) continue;
            perror("accept");
            poll(NULL, 0, 300); /* who is done gives a descriptor back */
            continue;
        }
        pid_t pid = fork();
        if (pid == 0) {
            close(listener);
            child_main(fd);
            _exit(0);
        }
        if (pid < 0) perror("fork");
        close(fd);
    }
}

static int die(const char *what, const char *address, long port)
{
    fprintf(stderr, "%s %s:%ld: %s\n", what, address, port, strerror(errno));
    return 1;
}

int main(int argc, char **argv)
{
    const char *address = argc > 2 ? argv[2] : "127.0.0.1";
    char *end = "?";
    long port = argc > 1 && argv[1][0] >= '0' && argv[1][0] <= '9' ? strtol(argv[1], &end, 10) : -1;
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    socklen_t size = sizeof sa;
    struct stat st;
    int on = 1;
    if (argc > 3 || *end != '\0' || port < 0 || port > 65535 || inet_pton(AF_INET, address, &sa.sin_addr) != 1) {
        fprintf(stderr, "Usage: server PORT [ADDRESS]\n");
        return 2;
    }
    if (stat("html", &st) < 0 || !S_ISDIR(st.st_mode)) {
        fprintf(stderr, "html: no such directory; start the server where it is\n");
        return 1;
    }
    struct sigaction sa_child = {.sa_handler = reap, .sa_flags = SA_RESTART | SA_NOCLDSTOP};
    sigemptyset(&sa_child.sa_mask);
    sigaction(SIGCHLD, &sa_child, NULL);
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    if (listener < 0) return die("socket", address, port);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&sa, size) < 0) return die("bind", address, port);
    if (listen(listener, 1000) < 0) return die("listen", address, port);
    if (fcntl(listener, F_SETFL, O_NONBLOCK) < 0) return die("fcntl", address, port);
    if (getsockname(listener, (struct sockaddr *)&sa, &size) < 0) return die("getsockname", address, port);
    dprintf(STDOUT_FILENO, "listening on http://%s:%d/\n", address, ntohs(sa.sin_port));
    loop(listener);
}
