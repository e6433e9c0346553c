/* The decoder of frames and text, fed with any bytes: what it says is there has to be there. */
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "crc32.h"
#include "frame.h"
#include "port.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct decoder decoder = {0};

    for (size_t i = 0; i < length; i++) {
        enum decoded found = decoder_take(&decoder, bytes[i]);
        if (found == DECODED_BODY &&
            (decoder.bytes[0] != MARK || decoder.length > MOST_BODY_BYTES ||
             crc32(0, decoder.bytes, decoder.length) != get32(decoder.bytes + decoder.length))) {
            abort();
        }
        if (found == DECODED_COMMAND && strlen((const char *)decoder.bytes) > COMMAND_CHARS) {
            abort();
        }
    }
    return 0;
}
