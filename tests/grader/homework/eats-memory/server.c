/* Takes all memory, and uses it. */
#include <stdlib.h>
#include <string.h>

int main(void)
{
    for (;;) {
        char *bytes = malloc(1 << 24);
        if (bytes != NULL) memset(bytes, 1, 1 << 24);
    }
}
