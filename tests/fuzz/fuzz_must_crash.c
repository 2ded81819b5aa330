/* Proves that the harness lives: the input whose length field is believed must be found. The test
 * passes when this target crashes. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(8);
    volatile uint8_t sink = 0;
    if (size >= 2 && data[0] == 'L' && data[1] > 8)
        sink = copy[data[1]];
    free(copy);
    (void)sink;
    return 0;
}
