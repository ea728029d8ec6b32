// LiteRT's C API around the network of model.h: environment, model, compiled model, one buffer in, one buffer out.

#include "network.h"

#include <cstdio>
#include <cstring>
#include <new>

#include "litert_c.h"

struct kexp_network {
  LiteRtEnvironment environment = nullptr;
  LiteRtModel model = nullptr;
  LiteRtCompiledModel compiled = nullptr;
  LiteRtTensorBuffer input = nullptr;
  LiteRtTensorBuffer output = nullptr;
};

namespace {

thread_local char last_error[200] = "no error";

// True if `status` is success; otherwise notes which call failed. The numbers are those of LiteRT's litert_common.h.
bool Good(LiteRtStatus status, const char *call) {
  if (status != 0) std::snprintf(last_error, sizeof last_error, "%s failed with LiteRT status %d", call, status);
  return status == 0;
}

// A buffer for `tensor`, which must hold exactly `count` float32.
bool MakeBuffer(LiteRtEnvironment environment, LiteRtTensor tensor, size_t count, LiteRtTensorBuffer *buffer) {
  LiteRtRankedTensorType type;
  if (!Good(LiteRtGetRankedTensorType(tensor, &type), "LiteRtGetRankedTensorType")) return false;
  size_t found = 1;
  for (unsigned int axis = 0; axis < type.layout.rank; ++axis) {
    found *= static_cast<size_t>(type.layout.dimensions[axis] > 0 ? type.layout.dimensions[axis] : 0);
  }
  if (type.element_type != kLiteRtElementTypeFloat32 || found != count) {
    std::snprintf(last_error, sizeof last_error, "the model has %zu numbers of type %d, model.h says %zu of float32",
                  found, type.element_type, count);
    return false;
  }
  return Good(LiteRtCreateManagedTensorBuffer(environment, kLiteRtTensorBufferTypeHostMemory, &type,
                                              count * sizeof(float), buffer),
              "LiteRtCreateManagedTensorBuffer");
}

bool Compile(kexp_network *network) {
  LiteRtOptions options = nullptr;
  if (!Good(LiteRtCreateOptions(&options), "LiteRtCreateOptions")) return false;
  const bool compiled =
      Good(LiteRtSetOptionsHardwareAccelerators(options, kLiteRtHwAcceleratorCpu),
           "LiteRtSetOptionsHardwareAccelerators") &&
      Good(LiteRtCreateCompiledModel(network->environment, network->model, options, &network->compiled),
           "LiteRtCreateCompiledModel");
  LiteRtDestroyOptions(options);
  return compiled;
}

bool Open(kexp_network *network) {
  LiteRtSignature signature = nullptr;
  size_t inputs = 0, outputs = 0;
  LiteRtTensor input = nullptr, output = nullptr;
  if (!Good(LiteRtCreateEnvironment(0, nullptr, &network->environment), "LiteRtCreateEnvironment") ||
      !Good(LiteRtCreateModelFromBuffer(network->environment, kexp_model, KEXP_MODEL_BYTES, &network->model),
            "LiteRtCreateModelFromBuffer") ||
      !Good(LiteRtGetModelSignature(network->model, 0, &signature), "LiteRtGetModelSignature") ||
      !Good(LiteRtGetNumSignatureInputs(signature, &inputs), "LiteRtGetNumSignatureInputs") ||
      !Good(LiteRtGetNumSignatureOutputs(signature, &outputs), "LiteRtGetNumSignatureOutputs")) {
    return false;
  }
  if (inputs != 1 || outputs != 1) {
    std::snprintf(last_error, sizeof last_error, "the model has %zu inputs and %zu outputs, one of each is expected",
                  inputs, outputs);
    return false;
  }
  return Good(LiteRtGetSignatureInputTensorByIndex(signature, 0, &input), "LiteRtGetSignatureInputTensorByIndex") &&
         Good(LiteRtGetSignatureOutputTensorByIndex(signature, 0, &output), "LiteRtGetSignatureOutputTensorByIndex") &&
         Compile(network) && MakeBuffer(network->environment, input, KEXP_INPUTS, &network->input) &&
         MakeBuffer(network->environment, output, KEXP_OUTPUTS, &network->output);
}

}  // namespace

extern "C" kexp_network *kexp_open(void) {
  kexp_network *network = new (std::nothrow) kexp_network;
  if (network != nullptr && !Open(network)) {
    kexp_close(network);
    network = nullptr;
  }
  return network;
}

extern "C" int kexp_run(kexp_network *network, const float *input, float *output) {
  void *memory = nullptr;
  if (!Good(LiteRtLockTensorBuffer(network->input, &memory, kLiteRtTensorBufferLockModeWrite),
            "LiteRtLockTensorBuffer")) {
    return 0;
  }
  std::memcpy(memory, input, KEXP_INPUTS * sizeof(float));
  if (!Good(LiteRtUnlockTensorBuffer(network->input), "LiteRtUnlockTensorBuffer") ||
      !Good(LiteRtRunCompiledModel(network->compiled, 0, 1, &network->input, 1, &network->output),
            "LiteRtRunCompiledModel") ||
      !Good(LiteRtLockTensorBuffer(network->output, &memory, kLiteRtTensorBufferLockModeRead),
            "LiteRtLockTensorBuffer")) {
    return 0;
  }
  std::memcpy(output, memory, KEXP_OUTPUTS * sizeof(float));
  return Good(LiteRtUnlockTensorBuffer(network->output), "LiteRtUnlockTensorBuffer") ? 1 : 0;
}

extern "C" void kexp_close(kexp_network *network) {
  if (network == nullptr) return;
  if (network->input != nullptr) LiteRtDestroyTensorBuffer(network->input);
  if (network->output != nullptr) LiteRtDestroyTensorBuffer(network->output);
  if (network->compiled != nullptr) LiteRtDestroyCompiledModel(network->compiled);
  if (network->model != nullptr) LiteRtDestroyModel(network->model);
  if (network->environment != nullptr) LiteRtDestroyEnvironment(network->environment);
  delete network;
}

extern "C" const char *kexp_error(void) { return last_error; }
