/*
 * Clients that ask without a pause, for servers of all stages. wrk cannot be used for stages 5 to 7:
 * their answers end with the connection (they have no Content-Length), and for each of these wrk
 * counts an error and opens a connection more, which costs stage 6 a process.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_EVENTS = 64, MAX_HEAD = 4096, SLOWEST = 10000000 };

static const char REQUEST[] = "GET / HTTP/1.1\r\nHost: bench\r\n\r\n";

struct client {
    int socket; /* -1: none */
    bool asked;
    long long start; /* of this request, in microseconds */
    size_t length;   /* bytes in head */
    long long left;  /* bytes of the body; -1: the connection's end is its end */
    bool in_body;
    char head[MAX_HEAD + 1];
};

static struct sockaddr_in address = {.sin_family = AF_INET};
static int epoll;
static long long requests, errors;
static unsigned took[SLOWEST]; /* answers by the microseconds that they took */

static long long now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000LL + time.tv_nsec / 1000;
}

static void die(const char *what)
{
    perror(what);
    exit(1);
}

/* Sends the request, on a new connection if there is none. What comes then is an event. */
static void ask(struct client *client)
{
    if (client->socket < 0) {
        client->socket = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        if (client->socket < 0) die("socket");
        int failed = connect(client->socket, (struct sockaddr *)&address, sizeof address);
        if (failed && errno != EINPROGRESS) die("connect");
        struct epoll_event report = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = client};
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, client->socket, &report) < 0) die("epoll_ctl");
    }
    client->asked = send(client->socket, REQUEST, sizeof REQUEST - 1, MSG_NOSIGNAL) > 0;
}

/* The request is over: on to the next. */
static void end(struct client *client, bool answered, bool closed)
{
    long long time = now();
    long long duration = time - client->start;
    requests += answered;
    errors += !answered;
    if (answered) took[duration < SLOWEST ? duration : SLOWEST - 1]++;
    if (closed) close(client->socket);
    *client = (struct client){.socket = closed ? -1 : client->socket, .start = time};
    ask(client);
}

/* Takes count bytes of an answer. True if it is complete. */
static bool take(struct client *client, const char *bytes, long long count)
{
    if (!client->in_body) {
        size_t room = MAX_HEAD - client->length;
        size_t taken = (size_t)count < room ? (size_t)count : room;
        memcpy(client->head + client->length, bytes, taken);
        client->length += taken;
        client->head[client->length] = '\0';
        const char *blank = strstr(client->head, "\r\n\r\n");
        if (blank == NULL) return false;
        client->in_body = true;
        const char *field = strcasestr(client->head, "\r\nContent-Length:");
        bool has_length = field != NULL && field < blank;
        client->left = has_length ? atoll(field + strlen("\r\nContent-Length:")) : -1;
        count -= blank + 4 - client->head - (long long)(client->length - taken);
    }
    if (client->left >= 0) client->left -= count;
    return client->left == 0;
}

static void serve_event(struct client *client)
{
    static char bytes[65536];
    if (!client->asked) ask(client);
    for (;;) {
        ssize_t count = recv(client->socket, bytes, sizeof bytes, 0);
        if (count < 0 && errno == EAGAIN) return;
        if (count <= 0) {
            end(client, count == 0 && client->in_body && client->left < 0, true);
            return;
        }
        if (take(client, bytes, count)) {
            end(client, true, strcasestr(client->head, "\r\nConnection: close") != NULL);
            return;
        }
    }
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fputs("usage: load PORT CLIENTS SECONDS\n"
              "prints: total, requests, seconds, 99th percentile in ms, errors\n",
              stderr);
        return 2;
    }
    address.sin_port = htons((in_port_t)atoi(argv[1]));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int number = atoi(argv[2]);
    struct client *clients = calloc((size_t)number, sizeof *clients);
    epoll = epoll_create1(0);
    if (clients == NULL || epoll < 0) die("load");
    long long start = now(), limit = start + (long long)(atof(argv[3]) * 1e6);
    for (int i = 0; i < number; i++) {
        clients[i] = (struct client){.socket = -1, .start = now()};
        ask(&clients[i]);
    }
    struct epoll_event events[MAX_EVENTS];
    while (now() < limit) {
        int count = epoll_wait(epoll, events, MAX_EVENTS, 10);
        for (int i = 0; i < count; i++)
            serve_event(events[i].data.ptr);
    }
    long long sum = 0;
    int percentile = 0; /* 99 of 100 answers took no longer */
    while (percentile < SLOWEST - 1 && (sum += took[percentile]) * 100 < requests * 99)
        percentile++;
    printf("total %lld %.6f %.3f %lld\n", requests, (double)(now() - start) / 1e6, percentile / 1e3,
           errors);
    return 0;
}
