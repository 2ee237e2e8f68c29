/* Stands in for a worker that has been broken into and wants to live on: it says hello and hears
 * nothing, neither the end of its input nor a signal that can be ignored. */
#include <signal.h>
#include <unistd.h>

static const unsigned char hello[] = {HELLO};

int main(void) {
    signal(SIGTERM, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    if (write(1, hello, sizeof hello) != sizeof hello) return 1;
    for (;;) pause();
}
