// What TFLite-Micro says that a model takes of an arena, without this firmware: for holding its figures against.
// Its arguments: the model's file, and how many resource variables it has.
#include <cstdio>
#include <cstdlib>

#include "tensorflow/lite/micro/micro_allocator.h"
#include "tensorflow/lite/micro/micro_interpreter.h"
#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"
#include "tensorflow/lite/micro/micro_resource_variable.h"

int main(int count, char **arguments)
{
    alignas(16) static uint8_t arena[8 << 20];
    alignas(16) static uint8_t model[8 << 20];
    std::FILE *file = count == 3 ? std::fopen(arguments[1], "rb") : nullptr;

    if (file == nullptr || std::fread(model, 1, sizeof model, file) == 0) {
        return 2;
    }
    std::fclose(file);
    tflite::MicroMutableOpResolver<128> resolver;
#define OPERATOR(name, add) resolver.add();
#include BENCH_OPERATORS
    tflite::MicroAllocator *allocator = tflite::MicroAllocator::Create(arena, sizeof arena);
    int variables = std::atoi(arguments[2]);
    tflite::MicroResourceVariables *table =
        variables > 0 ? tflite::MicroResourceVariables::Create(allocator, variables) : nullptr;
    tflite::MicroInterpreter interpreter(tflite::GetModel(model), resolver, allocator, table);
    if (interpreter.AllocateTensors() != kTfLiteOk) {
        return 1;
    }
    std::printf("%zu\n", interpreter.arena_used_bytes());
    return 0;
}
