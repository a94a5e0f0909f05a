/*
 * A client that does what curl cannot: stall, drip, reset, stop reading, hold ten thousand
 * connections. It plays the actions on its command line, one after the other.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char USAGE[] =
    "usage: client [-n CONNECTIONS] [-r ROUNDS] [-b BYTES] [-t SECONDS] PORT ACTION...\n"
    "Opens connections to 127.0.0.1:PORT and plays the actions, on each of them in turn.\n"
    "  -n  open so many connections (1)          -r  play it all so many times (1)\n"
    "  -b  size of the receive buffer            -t  give up after so many seconds (30)\n"
    "  -q  read gives up when, after the first byte, none comes for so many seconds\n"
    "       client -w PID      print the signal of which a child of this process dies\n"
    "       client -B          print the body of the answer on stdin; chunks are put together\n"
    "       client -E FILE     whether that body is this file: exit status 0, or 1\n"
    "       client -C          whether that body is as long as its head says; prints what is "
    "wrong\n"
    "actions:\n"
    "  send TEXT       file FILE       repeat COUNT TEXT    send these bytes\n"
    "  beside FILE                     send them, while the other actions go on\n"
    "  pieces SIZE FILE                send a file in pieces, on average one a millisecond\n"
    "  drip MS TEXT                    send a byte every MS ms, until the server closes\n"
    "  late MS TEXT                    send it MS ms after the start; print how that went\n"
    "  read                            print what comes until the server closes\n"
    "  slowly BYTES MS                 the same, but BYTES every MS ms, on the whole\n"
    "  take BYTES                      print what comes until it is so many bytes, or the end\n"
    "  answer, answer-head             print one answer; to HEAD, it has no body\n"
    "  silence MS                      fail if anything comes within MS ms\n"
    "  await-end MS                    wait until the server ends its side, at most MS ms\n"
    "  closed                          wait until the server closes; print the ms since the start\n"
    "  wait MS                         do nothing for MS ms\n"
    "  hold                            print \"holding\", then wait to be killed\n"
    "  shutdown, close, reset          end the sending half; all; all, with a reset\n"
    "exit status: 0, 1 failed, 2 usage, 3 reset by the server, 4 out of time\n";

enum { FAILED = 1, RESET = 3, OUT_OF_TIME = 4 };
enum { LARGEST_ANSWER = 100000000 };

static int worst;         /* the exit status */
static double give_up_at; /* seconds() then */
static unsigned quiet;    /* seconds, or 0 */

static void give_up(int signal)
{
    (void)signal;
    _exit(OUT_OF_TIME);
}

static void fail(int status, const char *what)
{
    fprintf(stderr, "client: %s: %s\n", what, strerror(errno));
    worst = status;
}

static double seconds(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void pause_ms(long ms)
{
    struct timespec time = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&time, NULL);
}

/* Does not pause if the moment has passed: after a delay, the next steps catch up. */
static void pause_until(double moment)
{
    double early = moment - seconds();
    if (early <= 0) return;
    struct timespec time = {(time_t)early, (long)((early - (double)(time_t)early) * 1e9)};
    nanosleep(&time, NULL);
}

/* False if the server has closed the connection. */
static bool send_bytes(int server, const char *bytes, size_t length)
{
    while (length > 0) {
        ssize_t count = send(server, bytes, length, MSG_NOSIGNAL);
        if (count < 0) return false;
        bytes += count;
        length -= (size_t)count;
    }
    return true;
}

/* One recv(). Returns the bytes that came, 0 at the end, a reset included. */
static size_t receive(int server, char *bytes, size_t size)
{
    ssize_t count = recv(server, bytes, size, 0);
    if (count < 0) fail(RESET, "recv");
    return count < 0 ? 0 : (size_t)count;
}

static void send_file(int server, const char *path, size_t piece, long ms)
{
    static char bytes[1 << 20];
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        fail(FAILED, path);
        return;
    }
    double next = seconds();
    for (size_t count; (count = fread(bytes, 1, piece, file)) > 0; pause_until(next)) {
        if (!send_bytes(server, bytes, count)) break;
        next += (double)ms / 1000;
    }
    fclose(file);
}

/* Sends a text so many times, in big pieces. */
static void repeat(int server, size_t times, const char *text)
{
    size_t length = strlen(text), together = 65536 / (length + 1) + 1;
    char *bytes = malloc(together * length + 1);
    if (bytes == NULL) {
        fail(FAILED, "malloc");
        return;
    }
    for (size_t i = 0; i < together; i++)
        memcpy(bytes + i * length, text, length);
    for (; times > 0; times -= together) {
        if (together > times) together = times;
        if (!send_bytes(server, bytes, together * length)) {
            fail(RESET, "send");
            break;
        }
    }
    free(bytes);
}

/* Reads one answer: a head, and as many bytes as its Content-Length says. */
static void read_answer(int server, bool has_body)
{
    static char head[65536];
    size_t length = 0;
    const char *end = NULL;
    while (length < sizeof head - 1 && end == NULL) {
        /* A look first, and then only the head is taken: what follows it is not ours to read. */
        ssize_t seen = recv(server, head + length, sizeof head - 1 - length, MSG_PEEK);
        if (seen < 0) fail(RESET, "recv");
        if (seen <= 0) break;
        head[length + (size_t)seen] = '\0';
        end = strstr(head, "\r\n\r\n");
        size_t take = end == NULL ? (size_t)seen : (size_t)(end + 4 - head) - length;
        if (receive(server, head + length, take) != take) break;
        length += take;
    }
    head[length] = '\0';
    fwrite(head, 1, length, stdout);
    const char *field = strcasestr(head, "\r\nContent-Length:");
    long left = has_body && field != NULL ? atol(field + strlen("\r\nContent-Length:")) : 0;
    for (size_t count; left > 0; left -= (long)count) {
        count = receive(server, head, left < (long)sizeof head ? (size_t)left : sizeof head);
        if (count == 0) {
            fprintf(stderr, "client: the answer ends %ld bytes early\n", left);
            worst = FAILED;
            return;
        }
        fwrite(head, 1, count, stdout);
    }
}

/*
 * Reads to the end, at most so many bytes every so many ms. The pace is that of the clock: who
 * comes too late to one piece, because the machine is busy, pauses less before the next ones.
 */
static void read_all(int server, size_t size, long ms)
{
    char *bytes = malloc(size);
    double start = seconds(), total = 0;
    for (size_t count; bytes != NULL && (count = receive(server, bytes, size)) > 0;) {
        if (fwrite(bytes, 1, count, stdout) != count) {
            fail(FAILED, "what comes is too much to keep");
            break;
        }
        if (quiet > 0 && give_up_at - seconds() > quiet) alarm(quiet);
        total += (double)count;
        pause_until(start + total / (double)size * (double)ms / 1000);
    }
    if (quiet > 0 && give_up_at - seconds() > 1) alarm((unsigned)(give_up_at - seconds()));
    free(bytes);
}

/* Reads so many bytes, and no more. */
static void take(int server, size_t size)
{
    char bytes[65536];
    for (size_t count; size > 0; size -= count) {
        count = receive(server, bytes, size < sizeof bytes ? size : sizeof bytes);
        if (count == 0) return;
        fwrite(bytes, 1, count, stdout);
    }
}

static void drip(int server, long ms, const char *text)
{
    struct pollfd readable = {.fd = server, .events = POLLIN};
    for (; *text != '\0' && send_bytes(server, text, 1); text++)
        if (poll(&readable, 1, (int)ms) > 0) return;
}

/* Sends text so many ms after the start, to each connection 10 ms after the one before, unless the
 * server has closed it by then; prints which it was, and whether something came back. */
static void ask_late(int server, long ms, const char *text, double start)
{
    static int asked;
    char byte;
    double wait = start + ((double)ms + 10 * asked++) / 1000 - seconds();
    if (wait > 0) pause_ms((long)(wait * 1000));
    if (recv(server, &byte, 1, MSG_DONTWAIT | MSG_PEEK) >= 0)
        puts("late: closed");
    else if (send_bytes(server, text, strlen(text)) && recv(server, &byte, 1, MSG_PEEK) > 0)
        puts("late: answered");
    else
        puts("late: lost");
}

/* Waits until no more comes: the end of the connection, by whatever means. */
static void await_close(int server, double start)
{
    char scrap[65536];
    while (recv(server, scrap, sizeof scrap, 0) > 0)
        continue;
    printf("%.0f\n", (seconds() - start) * 1000);
}

static void end(int *server, bool reset)
{
    struct linger linger = {.l_onoff = reset, .l_linger = 0};
    setsockopt(*server, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    close(*server);
    *server = -1;
}

/* Plays one action on one connection. Returns how many words of the command line it takes. */
static int play(int *server, char **word, double start)
{
    const char *action = word[0], *first = word[1] != NULL ? word[1] : "";
    const char *second = word[1] != NULL && word[2] != NULL ? word[2] : "";
    struct pollfd readable = {.fd = *server, .events = POLLIN};
    struct pollfd ended = {.fd = *server, .events = POLLRDHUP};
    if (strcmp(action, "send") == 0) return send_bytes(*server, first, strlen(first)), 2;
    if (strcmp(action, "file") == 0) return send_file(*server, first, 1 << 20, 0), 2;
    if (strcmp(action, "beside") == 0) {
        pid_t sender = fork();
        if (sender < 0) fail(FAILED, "fork");
        if (sender == 0) {
            send_file(*server, first, 1 << 20, 0);
            _exit(0);
        }
        return 2;
    }
    if (strcmp(action, "pieces") == 0) return send_file(*server, second, (size_t)atol(first), 1), 3;
    if (strcmp(action, "late") == 0) return ask_late(*server, atol(first), second, start), 3;
    if (strcmp(action, "drip") == 0) return drip(*server, atol(first), second), 3;
    if (strcmp(action, "slowly") == 0)
        return read_all(*server, (size_t)atol(first), atol(second)), 3;
    if (strcmp(action, "take") == 0) return take(*server, (size_t)atol(first)), 2;
    if (strcmp(action, "read") == 0) return read_all(*server, 65536, 0), 1;
    if (strcmp(action, "answer") == 0) return read_answer(*server, true), 1;
    if (strcmp(action, "answer-head") == 0) return read_answer(*server, false), 1;
    if (strcmp(action, "closed") == 0) return await_close(*server, start), 1;
    if (strcmp(action, "shutdown") == 0) return shutdown(*server, SHUT_WR), 1;
    if (strcmp(action, "close") == 0) return end(server, false), 1;
    if (strcmp(action, "reset") == 0) return end(server, true), 1;
    if (strcmp(action, "repeat") == 0) return repeat(*server, (size_t)atol(first), second), 3;
    if (strcmp(action, "await-end") == 0) return poll(&ended, 1, atoi(first)), 2;
    if (strcmp(action, "silence") == 0) {
        if (poll(&readable, 1, atoi(first)) == 0) return 2;
        fprintf(stderr, "client: an answer, or the end, came too early\n");
        return worst = FAILED, 2;
    }
    fprintf(stderr, "client: no such action: %s\n", action);
    exit(2);
}

static int open_connection(int port, int buffer)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((in_port_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int server = socket(AF_INET, SOCK_STREAM, 0), yes = 1;
    if (server < 0 || setsockopt(server, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes) < 0)
        fail(FAILED, "socket");
    if (buffer > 0) setsockopt(server, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
    if (connect(server, (struct sockaddr *)&address, sizeof address) < 0) fail(FAILED, "connect");
    return server;
}

static void play_all(int *servers, int connections, char **words, double start)
{
    for (int taken; *words != NULL; words += taken) {
        taken = 1;
        if (strcmp(*words, "wait") == 0 && words[1] != NULL) {
            pause_ms(atol(words[1]));
            taken = 2;
            continue;
        }
        if (strcmp(*words, "hold") == 0) {
            puts("\nholding");
            pause();
            continue;
        }
        for (int i = 0; i < connections; i++)
            taken = play(&servers[i], words, start);
    }
}

/* All of a stream, in memory. Sets the length. */
static char *read_stream(FILE *stream, size_t *length)
{
    size_t room = 65536;
    char *bytes = malloc(room);
    *length = 0;
    for (size_t count = 1; bytes != NULL && count > 0; *length += count) {
        if (room - *length < 65536) bytes = realloc(bytes, room *= 2);
        if (bytes != NULL) count = fread(bytes + *length, 1, room - *length - 1, stream);
    }
    if (bytes == NULL) {
        perror("client");
        exit(FAILED);
    }
    bytes[*length] = '\0';
    return bytes;
}

/* Puts a body that came in chunks together, in its place (RFC 9112, section 7.1). Returns its
 * length, and says whether it ends with a chunk of no bytes and a blank line. */
static size_t join_chunks(char *body, size_t length, bool *whole)
{
    const char *end = body + length;
    char *next = body, *to = body;
    *whole = false;
    while (next < end) {
        char *line;
        unsigned long size = strtoul(next, &line, 16);
        char *data = memchr(line, '\n', (size_t)(end - line));
        if (line == next || data == NULL) break;
        data++;
        if (size == 0) { /* fields may follow, and a blank line */
            *whole =
                memcmp(end - 2, "\r\n", 2) == 0 &&
                (end - data == 2 || memmem(data, (size_t)(end - data), "\r\n\r\n", 4) == end - 4);
            break;
        }
        if (size > (size_t)(end - data)) size = (size_t)(end - data);
        memmove(to, data, size);
        to += size;
        next = data + size;
        if (next < end && *next == '\r') next++;
        if (next < end && *next == '\n') next++;
    }
    return (size_t)(to - body);
}

/* An answer, taken apart. */
struct answer {
    char *head, *body; /* the head is a string: it ends before its blank line */
    size_t size;       /* bytes in the body, once chunks are put together */
    bool chunked, whole;
};

/* Reads the answer on stdin. Without a blank line, all of it is its head. */
static struct answer read_whole_answer(void)
{
    size_t length;
    char *text = read_stream(stdin, &length), *blank = memmem(text, length, "\n\r\n", 3);
    struct answer answer = {.head = text, .body = text + length};
    if (blank == NULL) return answer;
    *blank = '\0';
    answer.body = blank + 3;
    answer.size = length - (size_t)(answer.body - text);
    const char *field = strcasestr(text, "\nTransfer-Encoding:");
    if (field != NULL && strncasecmp(field + 19 + strspn(field + 19, " \t"), "chunked", 7) == 0) {
        answer.chunked = true;
        answer.size = join_chunks(answer.body, answer.size, &answer.whole);
    }
    return answer;
}

/* Prints the body of the answer on stdin, or compares it with a file. Returns the exit status. */
static int show_body(const char *path)
{
    struct answer answer = read_whole_answer();
    size_t expected;
    if (path == NULL)
        return fwrite(answer.body, 1, answer.size, stdout) == answer.size ? 0 : FAILED;
    FILE *file = fopen(path, "rb");
    if (file == NULL) return perror(path), FAILED;
    const char *bytes = read_stream(file, &expected);
    return answer.size == expected && memcmp(answer.body, bytes, expected) == 0 ? 0 : FAILED;
}

/* Says what is wrong with the length of the answer on stdin (RFC 9112, section 6.3). Returns the
 * exit status. */
static int check_length(void)
{
    struct answer answer = read_whole_answer();
    const char *field = strcasestr(answer.head, "\nContent-Length:");
    if (answer.chunked && !answer.whole)
        return puts("its chunks do not end with one of 0 bytes, or more follows"), FAILED;
    if (field == NULL) return 0;
    if (strcasestr(answer.head, "\nTransfer-Encoding:") != NULL)
        return puts("it has Content-Length and Transfer-Encoding, too"), FAILED;
    if (strcasestr(field + 1, "\nContent-Length:") != NULL)
        return puts("it has Content-Length twice"), FAILED;
    const char *value = field + 16 + strspn(field + 16, " \t");
    char *end;
    unsigned long long size = strtoull(value, &end, 10);
    if (*value >= '0' && *value <= '9' && strspn(end, " \t") == strcspn(end, "\r\n") &&
        size == answer.size)
        return 0;
    printf("its Content-Length is %.*s, and its body has %zu bytes\n", (int)strcspn(value, "\r\n"),
           value, answer.size);
    return FAILED;
}

/* Looks at a process and at what it forks, as a debugger does, until one of its children dies of a
 * signal, or time is up. Returns the exit status. */
static int watch_children(pid_t process)
{
    long forks = PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE;
    if (ptrace(PTRACE_SEIZE, process, NULL, (void *)forks) < 0) return perror("ptrace"), FAILED;
    puts("watching");
    for (int status; (process = waitpid(-1, &status, __WALL)) > 0;) {
        if (WIFSIGNALED(status)) return printf("signal %d\n", WTERMSIG(status)), 0;
        /* A process that is stopped goes on; it gets the signal that was on its way to it. */
        long signal = WIFSTOPPED(status) && status >> 16 == 0 ? WSTOPSIG(status) : 0;
        if (WIFSTOPPED(status)) ptrace(PTRACE_CONT, process, NULL, (void *)signal);
    }
    return FAILED;
}

int main(int argc, char **argv)
{
    int connections = 1, rounds = 1, buffer = 0, limit = 30, watched = 0;
    for (int option; (option = getopt(argc, argv, "+hBCE:n:r:b:t:q:w:")) != -1;) {
        if (option == 'B' || option == 'E') return show_body(option == 'E' ? optarg : NULL);
        if (option == 'C') return check_length();
        if (option == 'n') connections = atoi(optarg);
        if (option == 'r') rounds = atoi(optarg);
        if (option == 'b') buffer = atoi(optarg);
        if (option == 't') limit = atoi(optarg);
        if (option == 'w') watched = atoi(optarg);
        if (option == 'q') quiet = (unsigned)atoi(optarg);
        if (option == 'h' || option == '?')
            return fputs(USAGE, option == 'h' ? stdout : stderr), option == 'h' ? 0 : 2;
    }
    if (argc - optind < 2 && watched == 0) return fputs(USAGE, stderr), 2;
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    /* An answer that never ends does not fill the disk: beyond this limit, write() fails. */
    struct rlimit size = {.rlim_cur = LARGEST_ANSWER, .rlim_max = LARGEST_ANSWER};
    setrlimit(RLIMIT_FSIZE, &size);
    signal(SIGXFSZ, SIG_IGN);
    signal(SIGALRM, give_up);
    alarm((unsigned)limit);
    give_up_at = seconds() + limit;
    setvbuf(stdout, NULL, _IONBF, 0); /* what has come is not lost when time is up */
    if (watched > 0) return watch_children(watched);
    int *servers = calloc((size_t)connections, sizeof *servers);
    if (servers == NULL) return perror("calloc"), 1;
    for (; rounds > 0; rounds--) {
        double start = seconds();
        for (int i = 0; i < connections; i++)
            servers[i] = open_connection(atoi(argv[optind]), buffer);
        play_all(servers, connections, argv + optind + 1, start);
        for (int i = 0; i < connections; i++)
            if (servers[i] >= 0) close(servers[i]);
    }
    free(servers);
    return worst;
}
