#include <stdio.h>

struct server {
    int listener;
};

static void init_copy(struct server server)
{
    server.listener = 3;
}

static void init(struct server *server)
{
    server->listener = 3;
}

int main(void)
{
    static struct server server;
    init_copy(server);
    printf("after init_copy(): %d\n", server.listener);
    init(&server);
    printf("after init():      %d\n", server.listener);
    return 0;
}
