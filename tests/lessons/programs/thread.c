#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int visitors = 0, file;

void *run(void *argument)
{
    visitors++;
    printf("thread: visitors = %d, close() = %d\n", visitors, close(file));
    return NULL;
}

int main(void)
{
    file = open("/dev/null", O_RDONLY);
    pthread_t thread;
    pthread_create(&thread, NULL, run, NULL);
    pthread_join(thread, NULL);
    int result = close(file);
    printf("main:   visitors = %d, close() = %d: %s\n", visitors, result, strerror(errno));
}
