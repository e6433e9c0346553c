// The engine interface on TFLite-Micro's MicroInterpreter, which a user's SDK or checkout provides.
//
// The allocator is put together by hand in the same places as MicroAllocator::Create(arena, size) puts it, so
// that the figures are those of any program that does so, and head and tail can be told apart. TFLite-Micro's
// recording allocator would take 288 bytes of a 32-bit device's arena for itself.
#include <algorithm>
#include <cstdint>
#include <new>
#include <utility>

#include "engine.h"
#include "port.h"
#include "tensorflow/lite/micro/arena_allocator/single_arena_buffer_allocator.h"
#include "tensorflow/lite/micro/memory_planner/greedy_memory_planner.h"
#include "tensorflow/lite/micro/micro_allocator.h"
#include "tensorflow/lite/micro/micro_context.h"
#include "tensorflow/lite/micro/micro_interpreter.h"
#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"
#include "tensorflow/lite/micro/micro_op_resolver.h"
#include "tensorflow/lite/micro/micro_resource_variable.h"
#include "tensorflow/lite/schema/schema_generated.h"
#include "tensorflow/lite/schema/schema_utils.h"

#ifndef BENCH_KERNELS
#define BENCH_KERNELS ""
#endif

namespace {

// ---- operators: BENCH_OPERATORS names a file of lines OPERATOR("CONV_2D", AddConv2D)

#define OPERATOR(name, add) +1 /* NOLINT(bugprone-macro-parentheses): a summand */
constexpr unsigned kOperators = 0
#include BENCH_OPERATORS
    ;
#undef OPERATOR

#define OPERATOR(name, add) "\n" name
constexpr char kOperatorNames[] =
#include BENCH_OPERATORS
    ;
#undef OPERATOR

using Resolver = tflite::MicroMutableOpResolver<kOperators>;

// An object that is made when it is first asked for and never destroyed: nothing of it is left to a C runtime.
template <typename T> class Lasting {
public:
    T *get() { return made_; }

    template <typename... Arguments> T *make(Arguments &&...arguments)
    {
        drop();
        made_ = new (place_) T(static_cast<Arguments &&>(arguments)...);
        return made_;
    }

    void drop()
    {
        if (made_ != nullptr) {
            made_->~T();
            made_ = nullptr;
        }
    }

private:
    alignas(T) unsigned char place_[sizeof(T)];
    T *made_;
};

const Resolver &operators()
{
    static Lasting<Resolver> resolver;

    if (resolver.get() == nullptr) {
        Resolver *made = resolver.make();
#define OPERATOR(name, add) made->add();
#include BENCH_OPERATORS
#undef OPERATOR
    }
    return *resolver.get();
}

// ---- around each operator: the line is attended to before it, and its time is taken

class Watch {
public:
    void begin(bool recording, engine_between *between, void *context, uint16_t operators)
    {
        between_ = between;
        context_ = context;
        operators_ = operators;
        done_ = 0;
        depth_ = 0;
        running_ = "";
        recording_ = recording;
        count_ = recording ? 0 : count_;
    }

    void forget() { count_ = 0; }

    TfLiteStatus run(const TFLMRegistration &op, TfLiteContext *context, TfLiteNode *node)
    {
        bool first = done_ == 0 && depth_ == 0;

        if (!first && !between_(context_, done_, operators_)) {
            return tflite::kTfLiteAbort;
        }
        running_ = name_of(op);
        uint64_t begun = recording_ && depth_ == 0 ? port_ticks() : 0;
        depth_++;
        TfLiteStatus status = op.invoke(context, node);
        depth_--;
        if (status == kTfLiteOk && depth_ == 0) {
            if (recording_ && count_ < kMost) {
                layers_[count_++] = {name_of(op), port_ticks() - begun};
            }
            done_++;
        }
        return status;
    }

    uint16_t count() const { return count_; }
    const char *label(uint16_t index) const { return layers_[index].label; }
    uint64_t ticks(uint16_t index) const { return layers_[index].ticks; }

    // The operator that ran last, for what is to be told when it fails.
    const char *running() const { return running_; }

private:
    static const char *name_of(const TFLMRegistration &op)
    {
        return op.builtin_code == tflite::BuiltinOperator_CUSTOM
                   ? op.custom_name
                   : tflite::EnumNameBuiltinOperator(static_cast<tflite::BuiltinOperator>(op.builtin_code));
    }

    static constexpr uint16_t kMost = 512;
    struct Layer {
        const char *label;
        uint64_t ticks;
    };

    Layer layers_[kMost] = {};
    const char *running_ = "";
    engine_between *between_ = nullptr;
    void *context_ = nullptr;
    uint16_t operators_ = 0;
    uint16_t done_ = 0; // operators of the main graph; those of other graphs run within one of them
    uint16_t depth_ = 0;
    uint16_t count_ = 0;
    bool recording_ = false;
};

Lasting<Watch> watch_place;

Watch &watch()
{
    return watch_place.get() != nullptr ? *watch_place.get() : *watch_place.make();
}

// What the interpreter finds in place of each operator: the same, but run by way of Watch. An operator does not learn
// which one it is, so each place has a function of its own.
class WatchedOperators final : public tflite::MicroOpResolver {
public:
    const TFLMRegistration *FindOp(tflite::BuiltinOperator op) const override { return watched(operators().FindOp(op)); }

    const TFLMRegistration *FindOp(const char *op) const override { return watched(operators().FindOp(op)); }

    tflite::TfLiteBridgeBuiltinParseFunction GetOpDataParser(tflite::BuiltinOperator op) const override
    {
        return operators().GetOpDataParser(op);
    }

private:
    struct Place {
        const TFLMRegistration *original;
        TFLMRegistration watched;
    };
    using Invoke = TfLiteStatus (*)(TfLiteContext *, TfLiteNode *);

    template <unsigned index> static TfLiteStatus run(TfLiteContext *context, TfLiteNode *node)
    {
        return watch().run(*places_[index].original, context, node);
    }

    template <unsigned... indices> static Invoke runner(unsigned index, std::integer_sequence<unsigned, indices...> /*all*/)
    {
        static constexpr Invoke kRunners[] = {run<indices>...};
        return kRunners[index];
    }

    static const TFLMRegistration *watched(const TFLMRegistration *op)
    {
        unsigned index = 0;

        if (op == nullptr) {
            return nullptr;
        }
        while (places_[index].original != nullptr && places_[index].original != op) {
            index++;
        }
        Place &place = places_[index];
        if (place.original == nullptr) {
            place = {op, *op};
            place.watched.invoke = runner(index, std::make_integer_sequence<unsigned, kOperators>());
        }
        return &place.watched;
    }

    static Place places_[kOperators];
};

WatchedOperators::Place WatchedOperators::places_[kOperators];

const WatchedOperators &watched_operators()
{
    static Lasting<WatchedOperators> watched;

    return watched.get() != nullptr ? *watched.get() : *watched.make();
}

Lasting<tflite::MicroInterpreter> interpreter;

const tflite::SubGraph *graph;
tflite::SingleArenaBufferAllocator *memory;

// ---- is it sound: model_find has looked at the root table alone, and TFLite-Micro believes every offset and index

// Every offset leads to what fits into `room` bytes, and every string ends.
bool is_flatbuffer(const uint8_t *bytes, uint32_t room)
{
    flatbuffers::Verifier verifier(bytes, std::min<size_t>(room, FLATBUFFERS_MAX_BUFFER_SIZE - 1));

    return tflite::VerifyModelBuffer(verifier);
}

template <typename Items, typename Check> bool all(const Items *items, Check check)
{
    return items == nullptr || std::all_of(items->begin(), items->end(), check);
}

bool are_below(uint32_t count, const flatbuffers::Vector<int32_t> *indices, bool may_be_absent)
{
    return all(indices, [=](int32_t index) {
        return static_cast<uint32_t>(index) < count || (may_be_absent && index == -1);
    });
}

bool is_sound(const tflite::Tensor &tensor, uint32_t buffers)
{
    constexpr int64_t kMostElements = INT32_MAX / 8; // of 8 bytes
    int64_t elements = 1;

    return tensor.buffer() < buffers && all(tensor.shape(), [&elements](int32_t dimension) {
               elements *= dimension;
               return dimension >= 0 && elements <= kMostElements;
           });
}

bool is_sound(const tflite::SubGraph &subgraph, uint32_t codes, uint32_t buffers)
{
    if (subgraph.tensors() == nullptr || subgraph.inputs() == nullptr || subgraph.outputs() == nullptr) {
        return false;
    }
    uint32_t tensors = subgraph.tensors()->size();
    return are_below(tensors, subgraph.inputs(), false) && are_below(tensors, subgraph.outputs(), false) &&
           all(subgraph.tensors(), [=](const tflite::Tensor *tensor) { return is_sound(*tensor, buffers); }) &&
           all(subgraph.operators(), [=](const tflite::Operator *op) {
               return op->opcode_index() < codes && are_below(tensors, op->inputs(), true) &&
                      are_below(tensors, op->outputs(), false) && are_below(tensors, op->intermediates(), false);
           });
}

bool is_sound(const tflite::Model &model)
{
    if (model.operator_codes() == nullptr || model.buffers() == nullptr) {
        return false;
    }
    uint32_t codes = model.operator_codes()->size();
    uint32_t buffers = model.buffers()->size();
    return all(model.subgraphs(),
               [=](const tflite::SubGraph *subgraph) { return is_sound(*subgraph, codes, buffers); });
}

// ---- loading

const char *name_of(const tflite::OperatorCode &code)
{
    tflite::BuiltinOperator builtin = tflite::GetBuiltinCode(&code);

    if (builtin != tflite::BuiltinOperator_CUSTOM) {
        return tflite::EnumNameBuiltinOperator(builtin);
    }
    return code.custom_code() != nullptr ? code.custom_code()->c_str() : "a custom operator without a name";
}

bool is_registered(const tflite::OperatorCode &code)
{
    tflite::BuiltinOperator builtin = tflite::GetBuiltinCode(&code);

    if (builtin != tflite::BuiltinOperator_CUSTOM) {
        return operators().FindOp(builtin) != nullptr;
    }
    return code.custom_code() != nullptr && operators().FindOp(code.custom_code()->c_str()) != nullptr;
}

bool all_are_registered(const tflite::Model &model, refusal *why)
{
    for (const tflite::OperatorCode *code : *model.operator_codes()) {
        if (!is_registered(*code)) {
            return refuse(why, UNSUPPORTED_OPERATOR, 0, "no kernel for ", name_of(*code));
        }
    }
    return true;
}

// An allocator in the arena, laid out as MicroAllocator::Create(arena, size) does; null where that has no room.
tflite::MicroAllocator *make_allocator(uint8_t *arena, uint32_t arena_size)
{
    constexpr uint32_t kLeast = 4096; // below, the allocator's own objects end the program

    if (arena_size < kLeast) {
        return nullptr;
    }
    memory = tflite::SingleArenaBufferAllocator::Create(arena, arena_size);
    uint8_t *place = memory->AllocatePersistentBuffer(sizeof(tflite::GreedyMemoryPlanner),
                                                      alignof(tflite::GreedyMemoryPlanner));
    return tflite::MicroAllocator::Create(memory, new (place) tflite::GreedyMemoryPlanner());
}

// How many resource variables a model may have at once: each VAR_HANDLE names one.
int variables_of(const tflite::Model &model)
{
    int count = 0;

    for (const tflite::SubGraph *subgraph : *model.subgraphs()) {
        if (subgraph->operators() == nullptr) {
            continue;
        }
        for (const tflite::Operator *op : *subgraph->operators()) {
            const tflite::OperatorCode *code = model.operator_codes()->Get(op->opcode_index());
            count += tflite::GetBuiltinCode(code) == tflite::BuiltinOperator_VAR_HANDLE ? 1 : 0;
        }
    }
    return count;
}

bool has_usable_ends(refusal *why)
{
    constexpr size_t kMost = UINT8_MAX;

    if (interpreter.get()->inputs_size() > kMost || interpreter.get()->outputs_size() > kMost) {
        return refuse(why, INTERNAL, 0, "more inputs or outputs than can be told", "");
    }
    for (tensor_kind kind : {TENSOR_INPUT, TENSOR_OUTPUT}) {
        for (uint8_t i = 0; i < engine_tensors(kind); i++) {
            const TfLiteTensor *tensor = kind == TENSOR_INPUT ? interpreter.get()->input(i) : interpreter.get()->output(i);
            if (tensor == nullptr || tensor->data.data == nullptr || tensor->dims->size > MOST_RANK) {
                return refuse(why, MODEL_INVALID, i, "an input or output that cannot be described", "");
            }
            if (kind == TENSOR_INPUT && tensor->allocation_type == kTfLiteMmapRo) {
                return refuse(why, MODEL_INVALID, i, "an input that is a constant", "");
            }
        }
    }
    return true;
}

} // namespace

extern "C" {

const struct engine engine = {"TFLite-Micro", BENCH_KERNELS, kOperatorNames + 1, true, false};

bool engine_load(const uint8_t *bytes, uint32_t room, uint8_t *arena, uint32_t arena_size, refusal *why)
{
    engine_unload();
    if (!is_flatbuffer(bytes, room)) {
        return refuse(why, MODEL_INVALID, 0, "damaged: its tables lead out of it", "");
    }
    const tflite::Model *model = tflite::GetModel(bytes);
    if (!is_sound(*model)) {
        return refuse(why, MODEL_INVALID, 0, "it refers to what is not in it", "");
    }
    if (!all_are_registered(*model, why)) {
        return false;
    }
    tflite::MicroAllocator *allocator = make_allocator(arena, arena_size);
    if (allocator == nullptr) {
        return refuse(why, ARENA_TOO_SMALL, 0, "the arena does not even hold the interpreter", "");
    }
    // The table of variables is in the arena, as in any program that makes one.
    int variables = variables_of(*model);
    tflite::MicroResourceVariables *table =
        variables > 0 ? tflite::MicroResourceVariables::Create(allocator, variables) : nullptr;
    if (variables > 0 && table == nullptr) {
        return refuse(why, ARENA_TOO_SMALL, 0, "the arena does not hold the table of resource variables", "");
    }
    interpreter.make(model, watched_operators(), allocator, table);
    graph = model->subgraphs()->Get(0);
    if (interpreter.get()->AllocateTensors() != kTfLiteOk) {
        engine_unload();
        return refuse(why, ARENA_TOO_SMALL, 0,
                      "the arena does not hold the model, or an operator refuses its tensors", "");
    }
    if (!has_usable_ends(why)) {
        engine_unload();
        return false;
    }
    return true;
}

void engine_unload(void)
{
    interpreter.drop();
    graph = nullptr;
    watch().forget();
}

uint8_t engine_tensors(enum tensor_kind kind)
{
    if (interpreter.get() == nullptr) {
        return 0;
    }
    return static_cast<uint8_t>(kind == TENSOR_INPUT ? interpreter.get()->inputs_size() : interpreter.get()->outputs_size());
}

struct tensor engine_tensor(enum tensor_kind kind, uint8_t index)
{
    const TfLiteTensor *from = kind == TENSOR_INPUT ? interpreter.get()->input(index) : interpreter.get()->output(index);
    const auto *indices = kind == TENSOR_INPUT ? graph->inputs() : graph->outputs();
    const auto *name = graph->tensors()->Get(static_cast<uint32_t>(indices->Get(index)))->name();
    struct tensor to = {};

    to.data = static_cast<uint8_t *>(from->data.data);
    to.bytes = static_cast<uint32_t>(from->bytes);
    // TfLiteType has numbers of its own; the schema's are those of the file.
    to.type = static_cast<uint8_t>(graph->tensors()->Get(static_cast<uint32_t>(indices->Get(index)))->type());
    to.rank = static_cast<uint8_t>(from->dims->size);
    for (int i = 0; i < from->dims->size; i++) {
        to.dimensions[i] = static_cast<uint32_t>(from->dims->data[i]);
    }
    to.scale = from->params.scale;
    to.zero_point = from->params.zero_point;
    to.name = name != nullptr ? name->c_str() : "";
    return to;
}

bool engine_invoke(bool profile, engine_between *between, void *context, refusal *why)
{
    uint32_t operators = graph->operators() != nullptr ? graph->operators()->size() : 0;

    watch().begin(profile, between, context, static_cast<uint16_t>(std::min<uint32_t>(operators, UINT16_MAX)));
    TfLiteStatus status = interpreter.get()->Invoke();
    if (status != kTfLiteOk) {
        if (profile) {
            watch().forget(); // half of it
        }
        return refuse(why, INVOKE_FAILED, static_cast<uint32_t>(status), "the interpreter gave up at ",
                      watch().running());
    }
    return true;
}

struct arena_use engine_arena(void)
{
    return {static_cast<uint32_t>(interpreter.get()->arena_used_bytes()),
            static_cast<uint32_t>(memory->GetNonPersistentUsedBytes()),
            static_cast<uint32_t>(memory->GetPersistentUsedBytes())};
}

uint16_t engine_layers(void)
{
    return watch().count();
}

uint64_t engine_layer(uint16_t index, const char **label)
{
    *label = watch().label(index);
    return watch().ticks(index);
}

} // extern "C"
