#include <pthread.h>
#include <stdio.h>

int visitors = 0;

void *run(void *argument)
{
    for (int i = 0; i < 100000000; i++)
        visitors++;
    return NULL;
}

int main(void)
{
    pthread_t thread;
    pthread_create(&thread, NULL, run, NULL);
    run(NULL);
    pthread_join(thread, NULL);
    printf("visitors = %d\n", visitors);
}
