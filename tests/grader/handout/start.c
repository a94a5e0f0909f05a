/*
 * Stage 1: the first server. README.md says what it has to do.
 */
int main(void)
{
    return 0;
}
