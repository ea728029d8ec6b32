/* The network of model.h, run by LiteRT. For C and C++: open once, run as often as you like, close.
 *
 *   kexp_network *network = kexp_open();
 *   if (network == NULL) { puts(kexp_error()); return 1; }
 *   float input[KEXP_INPUTS] = {...}, output[KEXP_OUTPUTS];
 *   if (!kexp_run(network, input, output)) puts(kexp_error());
 *   kexp_close(network);
 *
 * One network is for one thread at a time; open a second one for a second thread.
 */
#ifndef KEXP_NETWORK_H_
#define KEXP_NETWORK_H_

#include "model.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct kexp_network kexp_network;

/* The network, ready to run; NULL if LiteRT refuses it, and kexp_error() says why. */
kexp_network *kexp_open(void);

/* One sample of KEXP_INPUTS raw numbers in, KEXP_OUTPUTS numbers out. 1 on success, 0 on failure. */
int kexp_run(kexp_network *network, const float *input, float *output);

/* Frees everything; NULL is allowed. */
void kexp_close(kexp_network *network);

/* What went wrong last in this thread. */
const char *kexp_error(void);

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* KEXP_NETWORK_H_ */
