/*
 * A harness for libFuzzer: puts any bytes, as a client's request, through build_response() of one
 * stage, and checks what comes out. tests/fuzz builds it, with -DSTAGE=9 -DSERVER_C='"..."', and runs it
 * in a directory that holds an html/ made for it.
 */
#define main server_main
#include SERVER_C
#undef main
#include <stdint.h>

/* From here on nothing counts as found: libFuzzer looks for ways through the server. */
#pragma clang attribute push(__attribute__((no_sanitize("coverage"))), apply_to = function)

enum { MAX_PLACE = 4096 };   /* bytes in the name of a file, as the kernel knows it */
static char html[MAX_PLACE]; /* where the files are that may be served */
static int lowest;           /* the lowest descriptor that is free between two requests */

/* Ends the run, and libFuzzer keeps the request, if something that must hold does not. */
static void require(bool holds, const char *what)
{
    if (holds) return;
    fprintf(stderr, "fuzz: does not hold: %s\n", what);
    abort();
}

static int lowest_free(void)
{
    int file = dup(STDERR_FILENO);
    close(file);
    return file;
}

/* Tells the place of an open file, as the kernel knows it. */
static void find(int file, char place[MAX_PLACE])
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, place, MAX_PLACE - 2);
    require(length > 0, "/proc tells the place of an open file");
    place[length] = '\0';
}

/* The length of a request's head, with the blank line that ends it; 0 without one. */
static size_t whole_head(const char *text, size_t length)
{
    size_t line = 0; /* where the line starts */
    for (size_t i = 0; i < length; i++) {
        if (text[i] != '\n') continue;
        if (i == line || (i == line + 1 && text[line] == '\r')) return i + 1;
        line = i + 1;
    }
    return 0;
}

/* True if a control character is where none may be: in the request line and, in stage 9, which
 * reads the fields, in all of the head. */
static bool has_control(const char *text, size_t length)
{
    bool first = true;
    for (size_t i = 0; i < length && (first || STAGE >= 9); i++) {
        bool control = (unsigned char)text[i] < ' ' || text[i] == 127;
        bool line_end = text[i] == '\n' || (text[i] == '\r' && text[i + 1] == '\n');
        if (control && !line_end && (first || text[i] != '\t')) return true;
        first = first && text[i] != '\n';
    }
    return false;
}

/* Checks the lines of an answer's head. Returns the length of the head. */
static size_t check_head(const struct response *response)
{
    static char head[sizeof response->buffer + 1]; /* what is sent, and a zero byte */
    const char *line = head, *end;
    char status[32];
    int lines = 0, code = response->status;
    require(response->length < sizeof head, "the answer fits in its place");
    memcpy(head, response->buffer, response->length);
    head[response->length] = '\0';
    snprintf(status, sizeof status, "HTTP/1.1 %d ", code);
    require(strncmp(head, status, strlen(status)) == 0, "the answer begins with its status");
    require(strstr(" 200 301 400 403 404 405 414 431 500 503 505 ", status + 8),
            "the status is one of ours");
    require(code == 200 || strcmp(head, response->buffer) == 0,
            "the answer has the length that it says");
    for (;; line = end + 2, lines++) {
        for (end = line; (unsigned char)*end >= ' ' && *end != 127; end++)
            continue;
        require(strncmp(end, "\r\n", 2) == 0, "a line of the answer: printable, then CR LF");
        if (end == line) break;
    }
    require(strstr(head, "\r\nDate: ") && strstr(head, "\r\nContent-Type: ") &&
                strstr(head, "\r\nConnection: ") &&
                (STAGE < 9 || strstr(head, "\r\nContent-Length: ")) &&
                (code != 301 || strstr(head, "\r\nLocation: /")) &&
                (code != 405 || strstr(head, "\r\nAllow: GET, HEAD\r\n")) &&
                lines == 4 + (STAGE >= 9) + (code == 301 || code == 405),
            "each field that the answer needs is there once, and no other");
    require(strstr(head, "\r\nLocation: //") == NULL, "no redirection to another host");
    return (size_t)(end + 2 - head);
}

/* Checks the body: the bytes of a page, or an open file; in stage 9, a small file comes as bytes. */
static void check_body(const char *text, const struct response *response, size_t page)
{
    struct stat about = {0};
    char place[MAX_PLACE];
    bool get = strncmp(text, "GET ", 4) == 0, head_only = strncmp(text, "HEAD ", 5) == 0;
    bool found = response->status == 200;
    require(response->file < 0 || (found && get && page == 0), "a file is open only to be sent");
    require(STAGE >= 9 || response->file >= 0 || !found || head_only,
            "a file that is to be sent is open");
    require(found || (page > 0) == !head_only, "an error response has a page, but not for HEAD");
    require(!head_only || page == 0, "HEAD gets no body");
    require(STAGE >= 9 || !found || page == 0, "a file is sent after the buffer");
    if (response->file >= 0) {
        find(response->file, place);
        require(strncmp(place, html, strlen(html)) == 0, "the file is in html/");
        require(fstat(response->file, &about) == 0 && S_ISREG(about.st_mode), "it is a file");
    }
#if STAGE >= 9
    long long length = atoll(strstr(response->buffer, "\r\nContent-Length: ") + 18);
    require(head_only || length == (response->file >= 0 ? about.st_size : (long long)page),
            "Content-Length is right");
    require(response->file < 0 || length == response->file_left, "all of the file will be sent");
#endif
}

/* Checks what becomes of the connection, and that what is no request is not taken for one. */
static void check_connection(const char *text, size_t length, const struct response *response)
{
    int status = response->status;
    size_t head = whole_head(text, length);
    bool keep = false,
         understood = status != 400 && status != 414 && status != 431 && status != 505;
    require(!understood || (head > 0 && !has_control(text, head)),
            "half a head, a control character: an error response");
#if STAGE >= 9
    int lengths = 0;
    for (const char *line = text; understood && (line = strchr(line, '\n') + 1) < text + head;)
        lengths += strncasecmp(line, "Content-Length:", 15) == 0;
    require(lengths <= 1, "two Content-Length fields: 400");
    keep = response->keep_alive;
    require(!keep || (head > 0 && understood), "after 400, 414, 431, 505: close");
    for (const char *line = text; keep && (line = strchr(line, '\n') + 1) < text + head;) {
        size_t end = strcspn(line, "123456789\r\n");
        require(strncasecmp(line, "Transfer-Encoding:", 18) != 0 &&
                    (strncasecmp(line, "Content-Length:", 15) != 0 || strchr("\r\n", line[end])),
                "a body is not taken for the next request");
    }
#endif
    require(strstr(response->buffer,
                   keep ? "\r\nConnection: keep-alive\r\n" : "\r\nConnection: close\r\n"),
            "Connection tells the truth");
}

/* Hides the value of Date, which changes every second. */
static void hide_date(struct response *response)
{
    char *date = strstr(response->buffer, "\r\nDate: ") + strlen("\r\nDate: ");
    require(strspn(date, "MonTueWdhFriSat") == 3 && strncmp(date + 25, " GMT\r\n", 6) == 0,
            "Date is a date");
    memset(date, '-', 29);
}

/* Puts a request through build_response(), and checks what comes. */
static void check(const void *request, size_t length, struct response *response)
{
    char *text = malloc(length + 1); /* no larger: so a read beyond the text is seen */
    memcpy(text, request, length);
    text[length] = '\0';
    memset(response, 0xa5, sizeof *response); /* so that nothing is right by chance */
    build_response(text, find_head_end(text, length), response);
    check_body(text, response, response->length - check_head(response));
    check_connection(text, length, response);
    if (response->file >= 0) close(response->file);
    hide_date(response);
    require(lowest_free() == lowest, "no descriptor is left open");
    free(text);
}

int LLVMFuzzerInitialize(int *count, char ***arguments)
{
    (void)count, (void)arguments;
    int directory = open("html/", O_RDONLY);
    require(directory >= 0, "there is an html/ in this directory");
    find(directory, html);
    strcat(html, "/");
    close(directory);
    lowest = lowest_free();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct response response, alone;
    const char *text = (const char *)data;
    for (; size > 0 && (*text == '\r' || *text == '\n'); size--)
        text++; /* the server skips them before it calls build_response() */
    if (size == 0) return 0;
    if (size > MAX_HEAD) size = MAX_HEAD;
    size_t end = whole_head(text, size);
    if (end == 0 && size < MAX_HEAD) return 0; /* the server waits for more */
    check(text, size, &response);
    if (end == 0 || end == size) return 0;
    check(text, end, &alone);
    require(response.length == alone.length &&
                memcmp(response.buffer, alone.buffer, alone.length) == 0,
            "what follows a request changes nothing");
    return 0;
}

#pragma clang attribute pop
