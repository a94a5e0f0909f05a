/* Twenty processes that run in a circle, each in a session of its own, so that each gets as much of the CPU as a whole terminal. */
#include <unistd.h>

int main(void)
{
    for (int i = 0; i < 20; i++) {
        if (fork() == 0) {
            setsid();
            for (;;)
                continue;
        }
    }
    for (;;)
        pause();
}
