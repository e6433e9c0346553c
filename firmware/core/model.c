#include "model.h"

#include <string.h>

#include "bytes.h"
#include "flatbuffer.h"
#include "protocol.h"

/* Fields of the root table of a .tflite file (TensorFlow Lite's schema.fbs). */
enum { SCHEMA_VERSION = 3, MODEL_VERSION = 0, MODEL_SUBGRAPHS = 2, MODEL_DESCRIPTION = 3 };

static bool begins_as_model(const struct flash_window *flash, uint32_t at, struct model *model)
{
    *model = (struct model){flash->bytes + at, flash->address + at, flash->size - at};

    return model->room >= 8 && memcmp(model->bytes + 4, "TFL3", 4) == 0 && get32(model->bytes) <= model->room - 4;
}

static bool is_model(const struct model *model)
{
    struct flatbuffer buffer = flatbuffer_open(model->bytes, model->room);
    struct table root = flatbuffer_table(&buffer, 0);
    uint32_t version = flatbuffer_field(&buffer, &root, MODEL_VERSION, 4);
    uint32_t subgraphs = flatbuffer_field(&buffer, &root, MODEL_SUBGRAPHS, 4);

    return version != 0 && flatbuffer_u32(&buffer, version) == SCHEMA_VERSION && subgraphs != 0 &&
           flatbuffer_vector(&buffer, subgraphs, 4).count > 0 && !buffer.damaged;
}

bool model_find(const struct flash_window *flash, uint32_t address, struct model *model, struct refusal *refusal)
{
    uint32_t at = address - flash->address;

    if (address < flash->address || at >= flash->size || at % flash->block != 0 ||
        !begins_as_model(flash, at, model)) {
        return refuse(refusal, NO_MODEL, address, "no model at that address", "");
    }
    if (!is_model(model)) {
        return refuse(refusal, MODEL_INVALID, 0, "damaged, or not of TFLite's schema version 3", "");
    }
    return true;
}

uint16_t model_list(const struct flash_window *flash, uint16_t index, struct model *model)
{
    struct model found;
    uint16_t count = 0;

    for (uint32_t at = 0; at < flash->size && count < UINT16_MAX; at += flash->block) {
        if (begins_as_model(flash, at, &found) && count++ == index) {
            *model = found;
        }
        if (flash->size - at <= flash->block) {
            break; /* `at` could wrap */
        }
    }
    return count;
}

void model_name(const struct model *model, char *name, uint32_t room)
{
    struct flatbuffer buffer = flatbuffer_open(model->bytes, model->room);
    struct table root = flatbuffer_table(&buffer, 0);
    uint32_t description = flatbuffer_field(&buffer, &root, MODEL_DESCRIPTION, 4);
    struct vector text = description != 0 ? flatbuffer_vector(&buffer, description, 1) : (struct vector){0};
    uint32_t length = text.count < room - 1 ? text.count : room - 1;

    memcpy(name, model->bytes + text.at, length);
    name[length] = '\0';
}
