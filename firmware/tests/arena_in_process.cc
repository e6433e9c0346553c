// What TFLite-Micro says that a model takes of an arena, without this firmware: for holding its figures against.
#include <cstdio>

#include "tensorflow/lite/micro/micro_interpreter.h"
#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"

int main(int count, char **arguments)
{
    alignas(16) static uint8_t arena[8 << 20];
    alignas(16) static uint8_t model[8 << 20];
    std::FILE *file = count == 2 ? std::fopen(arguments[1], "rb") : nullptr;

    if (file == nullptr || std::fread(model, 1, sizeof model, file) == 0) {
        return 2;
    }
    std::fclose(file);
    tflite::MicroMutableOpResolver<128> resolver;
#define OPERATOR(name, add) resolver.add();
#include BENCH_OPERATORS
    tflite::MicroInterpreter interpreter(tflite::GetModel(model), resolver, arena, sizeof arena);
    if (interpreter.AllocateTensors() != kTfLiteOk) {
        return 1;
    }
    std::printf("%zu\n", interpreter.arena_used_bytes());
    return 0;
}
