// Stage 6, my solution: fork for each client, select() for the time limits, stdio for everything that
// is text or a file, and all files opened relative to the descriptor of html/.
#define _POSIX_C_SOURCE 200809L
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const size_t kMaxHead = 8192;
static const double kPatience = 5.0;

static int gHtml = -1; // the directory html/

static const char *const kTypes =
    "|html=text/html; charset=utf-8|htm=text/html; charset=utf-8|css=text/css; charset=utf-8|js=text/javascript; charset=utf-8"
    "|mjs=text/javascript; charset=utf-8|mp4=video/mp4|jpeg=image/jpeg"
    "|txt=text/plain; charset=utf-8|json=application/json|svg=image/svg+xml|png=image/png|jpg=image/jpeg"
    "|gif=image/gif|webp=image/webp|ico=image/x-icon|wasm=application/wasm|pdf=application/pdf|";

typedef struct {
    int status;
    const char *title;
    const char *text;
} Reason;

static const Reason kReasons[] = {
    {200, "OK", ""},
    {301, "Moved Permanently", "It has moved a little: add a slash."},
    {400, "Bad Request", "I did not understand that."},
    {403, "Forbidden", "That one is private."},
    {404, "Not Found", "There is no page with that name (sorry, 您访问的页面不存在)."},
    {405, "Method Not Allowed", "Try GET or HEAD."},
    {414, "URI Too Long", "Such a long name! 8 KiB for the whole line."},
    {431, "Request Header Fields Too Large", "Make it shorter, please: 8 KiB."},
    {500, "Internal Server Error", "My disk does not want to."},
    {503, "Service Unavailable", "I have my hands full. Come back in a minute."},
    {505, "HTTP Version Not Supported", "Use HTTP/1.1, please."},
};

typedef struct {
    char *raw;     // the request line as it came, with a 0 in place of its end
    size_t rawLen; // its length: it may have zeros inside
    bool headOnly;
    char *target;
    char *query; // what follows the ? of the target, or NULL
    char path[PATH_MAX]; // under html/
    bool isDirectory;       // the path in the request ended with a slash
    FILE *page;
    long long size;
} Request;

static double Seconds(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + 1e-9 * (double)ts.tv_nsec;
}

// Waits for one direction of a socket, until a time.
static bool Wait(int sock, bool writing, double end)
{
    double left;
    if (sock >= FD_SETSIZE) return false;
    while ((left = end - Seconds()) > 0) {
        fd_set set;
        struct timeval tv = {(time_t)left, (suseconds_t)((left - (double)(time_t)left) * 1e6)};
        FD_ZERO(&set);
        FD_SET(sock, &set);
        int n = select(sock + 1, writing ? NULL : &set, writing ? &set : NULL, NULL, &tv);
        if (n > 0) return true;
        if (n < 0 && errno != EINTR) return false;
    }
    return false;
}

static bool SendAll(int sock, const char *data, size_t len)
{
    size_t done = 0;
    while (done < len) {
        if (!Wait(sock, true, Seconds() + kPatience)) return false;
        ssize_t n = send(sock, data + done, len - done, MSG_DONTWAIT);
        if (n < 0 && errno != EINTR && errno != EAGAIN) return false;
        if (n > 0) done += (size_t)n;
    }
    return true;
}

// The byte after the blank line, or NULL.
static char *HeadEnd(char *data, size_t len)
{
    char *end = data + len;
    for (char *p = data; (p = memchr(p, '\n', (size_t)(end - p))) != NULL; p++) {
        if (end - p >= 2 && p[1] == '\n') return p + 2;
        if (end - p >= 3 && p[1] == '\r' && p[2] == '\n') return p + 3;
    }
    return NULL;
}

// Fills data (kMaxHead bytes and one more). Returns 200, 414, 431, or 0 if there is nobody to answer.
static int ReadHead(int sock, char *data, size_t *len)
{
    double end = Seconds() + kPatience;
    *len = 0;
    while (Wait(sock, false, end)) {
        ssize_t n = recv(sock, data + *len, kMaxHead + 1 - *len, MSG_DONTWAIT);
        if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
        if (n <= 0) return 0;
        *len += (size_t)n;
        size_t skip = 0;
        while (skip < *len && (data[skip] == '\n' || (data[skip] == '\r' && skip + 1 < *len && data[skip + 1] == '\n')))
            skip++;
        memmove(data, data + skip, *len -= skip);
        char *stop = HeadEnd(data, *len);
        if (stop != NULL && (size_t)(stop - data) <= kMaxHead) return 200;
        if (*len > kMaxHead) return memchr(data, '\n', kMaxHead) != NULL ? 431 : 414;
    }
    return 0;
}

// Cuts the line into its words. Returns a status.
static int ParseLine(Request *rq)
{
    char *space = strchr(rq->raw, ' '), *last = strrchr(rq->raw, ' '), major[2], minor[2];
    int end = 0;
    if (strlen(rq->raw) != rq->rawLen || space == NULL || last == space || space == rq->raw) return 400;
    rq->headOnly = strncmp(rq->raw, "HEAD ", 5) == 0;
    for (char *p = rq->raw; p < space; p++)
        if (!isalnum((unsigned char)*p) && strchr("!#$%&'*+-.^_`|~", *p) == NULL) return 400;
    for (char *p = space + 1; p < last; p++)
        if ((unsigned char)*p <= ' ' || *p == 127 || *p == '#') return 400;
    if (last == space + 1) return 400;
    if (sscanf(last + 1, "HTTP/%1[2-9]%n", major, &end) == 1) {
        const char *rest = last + 1 + end;
        return *rest == '\0' || (*rest == '.' && isdigit((unsigned char)rest[1]) && rest[2] == '\0') ? 505 : 400;
    }
    if (sscanf(last + 1, "HTTP/1.%1[0-9]%n", minor, &end) != 1 || last[1 + end] != '\0') return 400;
    if (!rq->headOnly && strncmp(rq->raw, "GET ", 4) != 0) return 405;
    rq->target = strndup(space + 1, (size_t)(last - space - 1));
    return rq->target != NULL ? 200 : 503;
}

// Target to path: host and query go, %XX is decoded, and ".." is not for us. Returns a status.
static int MakePath(Request *rq)
{
    char *t = rq->target;
    size_t n = 0;
    rq->query = strchr(t, '?');
    if (rq->query != NULL) *rq->query++ = '\0';
    if (strncasecmp(t, "http://", 7) == 0) {
        if (t[7] == '/' || t[7] == '\0') return 400;
        char *slash = strchr(t + 7, '/');
        if (slash != NULL)
            memmove(t, slash, strlen(slash) + 1);
        else
            strcpy(t, "/");
    }
    if (*t != '/') return 400;
    for (char *p = t; (p = strchr(p, '%')) != NULL; p++)
        if (!isxdigit((unsigned char)p[1]) || !isxdigit((unsigned char)p[2])) return 400;
    char *name = strdup(t), *to = name;
    if (name == NULL) return 503;
    for (const char *p = t; *p != '\0'; p++, n++) {
        unsigned code = (unsigned char)*p;
        if (*p == '%') {
            sscanf(p + 1, "%2x", &code);
            p += 2;
        }
        *to++ = (char)code;
    }
    *to = '\0';
    int status = strlen(name) == n && n < sizeof rq->path - 20 ? 200 : 404;
    rq->isDirectory = name[n - 1] == '/';
    // Segment by segment. Empty ones fall away, so "//etc" is a file "etc" of ours.
    rq->path[0] = '\0';
    for (char *save, *s = strtok_r(name, "/", &save); s != NULL && status == 200; s = strtok_r(NULL, "/", &save)) {
        if (strcmp(s, "..") == 0) status = 404;
        strcat(strcat(rq->path, *rq->path ? "/" : ""), s);
    }
    if (rq->isDirectory) strcat(strcat(rq->path, *rq->path ? "/" : ""), "index.html");
    free(name);
    return status;
}

// Returns a status; with 200, the page is open.
static int OpenPage(Request *rq)
{
    struct stat st;
    int fd = openat(gHtml, rq->path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR || errno == ENAMETOOLONG || errno == ELOOP || errno == ENXIO)) return 404;
    if (fd < 0) return errno == EACCES ? 403 : errno == EMFILE || errno == ENFILE || errno == ENOMEM ? 503 : 500;
    int status = fstat(fd, &st) < 0 ? 404 : S_ISREG(st.st_mode) ? 200 : S_ISDIR(st.st_mode) && !rq->isDirectory ? 301 : 404;
    if (status == 200 && (rq->page = fdopen(fd, "rb")) == NULL) status = 503;
    if (status != 200) close(fd);
    rq->size = (long long)st.st_size;
    return status;
}

static void PrintType(FILE *out, const char *path)
{
    const char *dot = strrchr(path, '.'), *type = NULL;
    char key[16];
    if (dot != NULL && strlen(dot) < 10 && strpbrk(dot, "/|=") == NULL) {
        snprintf(key, sizeof key, "|%s=", dot + 1);
        type = strstr(kTypes, key);
    }
    if (type == NULL)
        fputs("Content-Type: application/octet-stream\r\n", out);
    else {
        type = strchr(type, '=') + 1;
        fprintf(out, "Content-Type: %.*s\r\n", (int)strcspn(type, "|"), type);
    }
}

static void PrintAnswer(FILE *out, int status, const Request *rq)
{
    const Reason *why = kReasons;
    char page[600];
    while (why->status != status)
        why++;
    int len = snprintf(page, sizeof page,
                       "<html>\n <head><meta charset=\"utf-8\"><title>%d</title></head>\n"
                       " <body><h1>%s</h1><p>%s</p><hr>%d</body>\n</html>\n",
                       status, why->title, why->text, status);
    time_t now = time(NULL);
    char date[40];
    strftime(date, sizeof date, "%a, %d %b %Y %T GMT", gmtime(&now));
    fprintf(out, "HTTP/1.1 %d %s\r\nDate: %s\r\n", status, why->title, date);
    if (status == 200)
        PrintType(out, rq->path);
    else
        fputs("Content-Type: text/html; charset=utf-8\r\n", out);
    fprintf(out, "Content-Length: %lld\r\nConnection: close\r\n", status == 200 ? rq->size : len);
    if (status == 301)
        fprintf(out, "Location: /%s/%s%s\r\n", rq->target + strspn(rq->target, "/"), rq->query != NULL ? "?" : "", rq->query != NULL ? rq->query : "");
    if (status == 405) fputs("Allow: GET, HEAD\r\n", out);
    fputs("\r\n", out);
    if (status != 200 && !rq->headOnly) fputs(page, out);
}

static void Log(const Request *rq, int status)
{
    int words = 0;
    printf("[%ld] ", (long)getpid());
    for (size_t i = 0; i < rq->rawLen && i < 2000; i++) {
        if (rq->raw[i] == ' ' && ++words == 2) break;
        putchar(rq->raw[i] >= ' ' && rq->raw[i] <= '~' ? rq->raw[i] : '.');
    }
    printf(" %d\n", status);
    fflush(stdout); // all of it at once
}

// Sends head and page. Returns whether all of it went out.
static bool SendAnswer(int sock, int status, Request *rq)
{
    char *head = NULL, block[20000];
    size_t len = 0, n;
    FILE *out = open_memstream(&head, &len);
    if (out == NULL) return false;
    PrintAnswer(out, status, rq);
    bool ok = fclose(out) == 0 && SendAll(sock, head, len);
    while (ok && rq->page != NULL && !rq->headOnly && (n = fread(block, 1, sizeof block, rq->page)) > 0)
        ok = SendAll(sock, block, n);
    free(head);
    return ok;
}

static void Serve(int sock)
{
    static char data[8192 + 2];
    static Request rq;
    size_t len;
    int small = 60000; // bytes under way; with more, a slow reader looks like one that has stopped
    setsockopt(sock, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    int status = ReadHead(sock, data, &len);
    if (status == 0) return;
    char *eol = memchr(data, '\n', len);
    rq.raw = data;
    rq.rawLen = eol != NULL ? (size_t)(eol - data) : len;
    if (eol != NULL && rq.rawLen > 0 && eol[-1] == '\r') rq.rawLen--;
    data[rq.rawLen] = '\0';
    if (status == 200) status = ParseLine(&rq);
    if (status == 200) status = MakePath(&rq);
    if (status == 200) status = OpenPage(&rq);
    Log(&rq, status);
    if (!SendAnswer(sock, status, &rq)) return;
    // No close() yet: bytes that nobody has read would turn it into a reset.
    shutdown(sock, SHUT_WR);
    for (double end = Seconds() + kPatience; Wait(sock, false, end);) {
        ssize_t n = recv(sock, data, sizeof data, MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) break;
    }
}

static int Listen(const char *address, int port, struct in_addr ip)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons((in_port_t)port), .sin_addr = ip};
    socklen_t len = sizeof sa;
    const char *step = "socket";
    int sock = socket(AF_INET, SOCK_STREAM, 0), yes = 1;
    if (sock >= 0) setsockopt(sock, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (sock < 0 || (step = "bind", bind(sock, (struct sockaddr *)&sa, sizeof sa) < 0) ||
        (step = "listen", listen(sock, SOMAXCONN) < 0) ||
        (step = "getsockname", getsockname(sock, (struct sockaddr *)&sa, &len) < 0)) {
        fprintf(stderr, "%s %s:%d: %s\n", step, address, port, strerror(errno));
        exit(1);
    }
    printf("listening on http://%s:%d/\n", address, ntohs(sa.sin_port));
    fflush(stdout);
    return sock;
}

int main(int argc, char *argv[])
{
    const char *address = argc == 3 ? argv[2] : "127.0.0.1";
    struct in_addr ip;
    unsigned port = 0;
    int end = 0;
    if (argc < 2 || argc > 3 || sscanf(argv[1], "%*[0-9]%n", &end) == EOF || end < 1 || end > 5 || argv[1][end] != '\0' ||
        sscanf(argv[1], "%u", &port) != 1 || port > 65535 || inet_pton(AF_INET, address, &ip) != 1) {
        fprintf(stderr, "usage: %s PORT [ADDRESS]\n", argc > 0 ? argv[0] : "server");
        return 2;
    }
    gHtml = open("html", O_RDONLY | O_DIRECTORY);
    if (gHtml < 0) {
        perror("./html (run me in its parent folder)");
        return 1;
    }
    signal(SIGPIPE, SIG_IGN);
    struct sigaction nobodyWaits = {.sa_handler = SIG_DFL, .sa_flags = SA_NOCLDWAIT};
    sigaction(SIGCHLD, &nobodyWaits, NULL);
    int listener = Listen(address, (int)port, ip);
    for (;;) {
        int sock = accept(listener, NULL, NULL);
        if (sock < 0 && (errno == EINTR || errno == ECONNABORTED)) continue;
        if (sock < 0) {
            perror("accept");
            nanosleep(&(struct timespec){.tv_nsec = 250000000}, NULL);
            continue;
        }
        pid_t pid = fork();
        if (pid == 0) {
            close(listener);
            Serve(sock);
            _exit(0);
        }
        if (pid < 0) perror("fork");
        close(sock);
    }
}
