#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int main(void)
{
    char text[1024];
    const char *head = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n";
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(8000)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0) {
        perror("bind");
        return 1;
    }
    listen(listener, SOMAXCONN);
    fprintf(stderr, "listening on http://127.0.0.1:8000/\n");
    for (;;) {
        int client = accept(listener, NULL, NULL);
        int count = (int)recv(client, text, sizeof text, 0);
        fprintf(stderr, "%d bytes\n", count);
        send(client, head, strlen(head), 0);
        send(client, "hello world", 11, 0);
        close(client);
    }
}
