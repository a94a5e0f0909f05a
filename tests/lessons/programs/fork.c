#include <fcntl.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

int visitors = 0;

int main(void)
{
    int file = open("/dev/null", O_RDONLY);
    if (fork() == 0) {
        visitors++;
        printf("child:  visitors = %d, close() = %d\n", visitors, close(file));
        return 0;
    }
    wait(NULL);
    printf("parent: visitors = %d, close() = %d\n", visitors, close(file));
}
