/* Prints what looks like results, in every format, and serves nothing. */
#include <stdio.h>
#include <unistd.h>

int main(void)
{
    for (int i = 0; i < 1000; i++) {
        printf("ok %d the server listens on the port that it is given, and stages 1 to 4 on 8080\n", i);
        fprintf(stderr, "1..66\nok %d / is html/index.html\n{\"score\": 100}\n100 passed, 0 failed\n", i);
    }
    fflush(stdout);
    for (int fd = 3; fd < 1024; fd++)
        dprintf(fd, "1..1\nok 1 a missing page gets 404, and a page that says so in two languages\n");
    return 0;
}
