/*
 * The ceiling: the smallest epoll loop that answers. It looks for the blank line and nothing else,
 * and sends the same bytes from memory: no file, no log, no limit of time, no pipelining.
 * What a small file takes beyond this is what HTTP, files and a log cost.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CLIENTS = 65536, MAX_EVENTS = 64, BLANK_LINE = 0x0d0a0d0a };

static struct client {
    unsigned last; /* the last four bytes that came */
    size_t left;   /* bytes of the answer that are not sent yet */
} clients[CLIENTS];

static char *answer; /* a head and a body */
static size_t length;

/* Takes what came; a whole head is answered, as far as the socket takes it. */
static void serve_client(int socket)
{
    struct client *client = &clients[socket];
    if (client->left == 0) {
        char text[8192];
        ssize_t count = recv(socket, text, sizeof text, 0);
        if (count == 0 || (count < 0 && errno != EAGAIN)) {
            close(socket);
            return;
        }
        for (ssize_t i = count > 4 ? count - 4 : 0; i < count; i++)
            client->last = client->last << 8 | (unsigned char)text[i];
        if (client->last != BLANK_LINE) return;
        client->last = 0;
        client->left = length;
    }
    ssize_t count = send(socket, answer + length - client->left, client->left, MSG_NOSIGNAL);
    if (count > 0) client->left -= (size_t)count;
    if (count < 0 && errno != EAGAIN) close(socket);
}

int main(int argc, char **argv)
{
    if (argc != 3 || strcmp(argv[1], "-h") == 0) {
        fprintf(stderr, "usage: %s PORT SIZE    answers every request with SIZE bytes\n", argv[0]);
        return 2;
    }
    size_t body = (size_t)atol(argv[2]);
    answer = calloc(1, body + 128);
    if (answer == NULL) return perror("calloc"), 1;
    const char *format = "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n";
    length = (size_t)snprintf(answer, 128, format, body) + body;
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((in_port_t)atoi(argv[1]))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), epoll = epoll_create1(0);
    /* EPOLLET: the kernel tells once what is new, so that nothing has to be asked for again. */
    struct epoll_event report = {.events = EPOLLIN, .data.fd = listener}, events[MAX_EVENTS];
    if (bind(listener, (struct sockaddr *)&address, size) < 0 || listen(listener, 4096) < 0 ||
        epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &report) < 0 ||
        getsockname(listener, (struct sockaddr *)&address, &size) < 0)
        return perror("ceiling"), 1;
    printf("listening on http://127.0.0.1:%d/\n", ntohs(address.sin_port));
    fflush(stdout);
    for (;;) {
        int count = epoll_wait(epoll, events, MAX_EVENTS, -1);
        for (int i = 0; i < count; i++) {
            int socket = events[i].data.fd;
            if (socket != listener) {
                serve_client(socket);
                continue;
            }
            socket = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
            if (socket < 0) continue;
            if (socket >= CLIENTS) return fputs("ceiling: too many clients\n", stderr), 1;
            clients[socket] = (struct client){0};
            report =
                (struct epoll_event){.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.fd = socket};
            if (epoll_ctl(epoll, EPOLL_CTL_ADD, socket, &report) < 0) return perror("epoll_ctl"), 1;
        }
    }
}
