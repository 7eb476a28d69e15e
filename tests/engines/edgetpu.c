/* A stand-in for libedgetpu at its C boundary: it lists devices, is a TensorFlow Lite delegate that takes over the
 * operations called edgetpu-custom-op, and misbehaves as the real one can.
 *
 * It reads the file named by EDGETPU_SCRIPT, one word and a number a line, each time it is asked something:
 *   usb N, pci N    devices that are there (without the file: usb 1)
 *   refuse N        the first N devices are taken by others
 *   slow MS         an inference takes as long
 *   fail N, hang N, abort N    what the inference after N good ones does
 *   mismatch 1      it was built for another TensorFlow Lite
 *
 * The structures are those of TensorFlow Lite's common.h, as far as they are used. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { OK = 0, ERROR = 1 };

typedef struct { int size; int data[]; } IntArray;

typedef struct {
  int type;
  union { void* raw; float* f; } data;
  IntArray* dims;
  struct { float scale; int32_t zero_point; } params;
  int allocation_type;
  size_t bytes;
  const void* allocation;
  const char* name;
  /* more follows; tensors are reached through the size that the runtime's own array has (TENSOR_SIZE) */
} Tensor;

typedef struct Node { IntArray* inputs; IntArray* outputs; } Node;
typedef struct Context Context;
struct Delegate;

typedef struct {
  void* (*init)(Context*, const char*, size_t);
  void (*free)(Context*, void*);
  int (*prepare)(Context*, Node*);
  int (*invoke)(Context*, Node*);
  const char* (*profiling_string)(const Context*, const Node*);
  int32_t builtin_code;
  const char* custom_name;
  int version;
  void* external;
  void* async_kernel;
  uint64_t inplace_operator;
} Registration;

struct Context {
  size_t tensors_size;
  int (*GetExecutionPlan)(Context*, IntArray**);
  void* tensors;
  void* impl;
  int (*ResizeTensor)(Context*, Tensor*, IntArray*);
  void (*ReportError)(Context*, const char*, ...);
  int (*AddTensors)(Context*, int, int*);
  int (*GetNodeAndRegistration)(Context*, int, Node**, Registration**);
  int (*ReplaceNodeSubsetsWithDelegateKernels)(Context*, Registration, const IntArray*, struct Delegate*);
};

typedef struct Delegate {
  void* data;
  int (*prepare)(Context*, struct Delegate*);
  void* copy_from;
  void* copy_to;
  void* free_handle;
  int64_t flags;
  void* opaque;
} Delegate;

static const size_t TENSOR_SIZE = 112;

static int script(const char* word, int otherwise) {
  const char* path = getenv("EDGETPU_SCRIPT");
  FILE* file = path ? fopen(path, "r") : 0;
  char name[32];
  int value;
  if (!file) return otherwise;
  otherwise = -1;
  while (fscanf(file, "%31s %d", name, &value) == 2)
    if (!strcmp(name, word)) otherwise = value;
  fclose(file);
  return otherwise;
}

static int there(const char* bus) {
  int count = script(bus, !strcmp(bus, "usb") ? 1 : 0);
  return count < 0 ? 0 : count;
}

/* edgetpu_c.h */

typedef struct { int type; const char* path; } Device;

const char* edgetpu_version(void) { return "stand-in 1.0"; }

Device* edgetpu_list_devices(size_t* count) {
  int pci = there("pci"), usb = there("usb");
  Device* devices = calloc((size_t)(pci + usb) + 1, sizeof *devices);
  for (int i = 0; i < pci + usb; i++) {
    devices[i].type = i >= pci;
    devices[i].path = i < pci ? "/dev/apex_0" : "/sys/bus/usb/devices/2-1";
  }
  *count = (size_t)(pci + usb);
  if (*count) return devices;
  free(devices);
  return 0;
}

void edgetpu_free_devices(Device* devices) { free(devices); }

/* The kernel: four outputs are a detector's (one person in the middle), others get a number in every byte. */

static int done = 0;

static Tensor* tensor(Context* context, int i) { return (Tensor*)((char*)context->tensors + TENSOR_SIZE * (size_t)i); }

static void shape(Context* context, Tensor* output, int rank, int rows, int columns) {
  const int sides[3] = {1, rows, columns};
  IntArray* dims = malloc(sizeof *dims + sizeof(int) * (size_t)rank);
  dims->size = rank;
  memcpy(dims->data, sides, sizeof(int) * (size_t)rank);
  context->ResizeTensor(context, output, dims);
}

static int kernel_prepare(Context* context, Node* node) {
  if (script("mismatch", -1) > 0) {
    context->ReportError(context, "Internal: Unsupported data type in custom op handler: 0");
    return ERROR;
  }
  if (node->outputs->size != 4) return OK;
  const int* outputs = node->outputs->data;
  shape(context, tensor(context, outputs[0]), 3, 10, 4);
  shape(context, tensor(context, outputs[1]), 2, 10, 0);
  shape(context, tensor(context, outputs[2]), 2, 10, 0);
  shape(context, tensor(context, outputs[3]), 1, 0, 0);
  return OK;
}

static int kernel_invoke(Context* context, Node* node) {
  int slow = script("slow", 0), fails = script("fail", -1), hangs = script("hang", -1), aborts = script("abort", -1);
  if (slow > 0) usleep((useconds_t)slow * 1000);
  if (aborts >= 0 && done >= aborts) {
    fprintf(stderr, "F driver/usb/usb_driver.cc:1148] HandleQueuedBulkIn transfer in failed. Not found: USB transfer "
                    "error 5 [LibUsbDataInCallback]\n");
    abort();
  }
  while (hangs >= 0 && done >= hangs) sleep(1);
  if (fails >= 0 && done >= fails) {
    context->ReportError(context, "Failed to execute request. Could not map pages : 7 (Device error)");
    return ERROR;
  }
  done++;
  for (int i = 0; i < node->outputs->size; i++) {
    Tensor* output = tensor(context, node->outputs->data[i]);
    memset(output->data.raw, node->outputs->size == 4 ? 0 : 7, output->bytes);
  }
  if (node->outputs->size == 4) {
    const float box[4] = {.25f, .4f, .75f, .6f};
    memcpy(tensor(context, node->outputs->data[0])->data.f, box, sizeof box);
    tensor(context, node->outputs->data[2])->data.f[0] = .9f;
    tensor(context, node->outputs->data[3])->data.f[0] = 1;
  }
  return OK;
}

/* The delegate. */

static int take_over(Context* context, Delegate* self) {
  IntArray* plan;
  if (context->GetExecutionPlan(context, &plan) != OK) return ERROR;
  IntArray* mine = malloc(sizeof *mine + sizeof(int) * (size_t)plan->size);
  mine->size = 0;
  for (int i = 0; i < plan->size; i++) {
    Node* node;
    Registration* known;
    if (context->GetNodeAndRegistration(context, plan->data[i], &node, &known) != OK) return ERROR;
    if (known->custom_name && !strcmp(known->custom_name, "edgetpu-custom-op")) mine->data[mine->size++] = plan->data[i];
  }
  Registration kernel = {0};
  kernel.prepare = kernel_prepare;
  kernel.invoke = kernel_invoke;
  kernel.custom_name = "EdgeTpuDelegateForCustomOp";
  kernel.version = 1;
  int status = context->ReplaceNodeSubsetsWithDelegateKernels(context, kernel, mine, self);
  free(mine);
  return status;
}

void* tflite_plugin_create_delegate(char** keys, char** values, size_t count, void (*report)(const char*)) {
  const char* wanted = "";
  for (size_t i = 0; i < count; i++)
    if (!strcmp(keys[i], "device")) wanted = values[i];
  const char* colon = strchr(wanted, ':');
  int number = colon ? atoi(colon + 1) : 0;
  int usb = !strncmp(wanted, "usb", 3), pci = !strncmp(wanted, "pci", 3);
  int count_there = usb ? there("usb") : pci ? there("pci") : there("usb") + there("pci");
  if (number >= count_there || number < script("refuse", 0)) return 0; /* the real one gives no reason either */
  Delegate* made = calloc(1, sizeof *made);
  made->prepare = take_over;
  made->flags = 1; /* dynamic tensors are allowed */
  (void)report;
  return made;
}

void tflite_plugin_destroy_delegate(void* delegate) { free(delegate); }
