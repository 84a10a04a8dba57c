#include "signals.h"

#include "err.h"

#include <stddef.h>
#include <unistd.h>

volatile sig_atomic_t sb_stop_code;

static void on_signal(int number)
{
    if (number == SIGINT && sb_stop_code == SB_ERR_INTERRUPT)
        _exit(SB_ERR_INTERRUPT);
    sb_stop_code = number == SIGINT ? SB_ERR_INTERRUPT : SB_ERR_TERMINATE;
}

void sb_signals_install(bool child)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGUSR1, &action, NULL); /* as SIGTERM: mpirun passes this one on and kills nobody */
    action.sa_handler = child ? SIG_IGN : on_signal;
    sigaction(SIGINT, &action, NULL);
    action.sa_handler = SIG_IGN;
    sigaction(SIGPIPE, &action, NULL);
    sigaction(SIGXFSZ, &action, NULL); /* a file that grows too big is a write that fails */
}
