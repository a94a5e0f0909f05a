/* Listens, and then never calls accept(): it runs in a circle, and does not end when it is asked to. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>

int main(int argc, char **argv)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    address.sin_port = htons(argc > 1 ? (in_port_t)atoi(argv[1]) : 8080);
    address.sin_addr.s_addr = inet_addr("127.0.0.1");
    signal(SIGTERM, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    bind(listener, (struct sockaddr *)&address, sizeof address);
    listen(listener, 100);
    for (volatile int i = 0;; i++)
        continue;
}
