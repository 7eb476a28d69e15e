/* A delegate with the C entry points that TensorFlow Lite looks for. It takes no part of the model over: enough to see
 * that a library is found, told its options, and believed when it refuses. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

typedef struct Delegate {
  void* data;
  int (*prepare)(void* context, struct Delegate* self);
  void* copy_from;
  void* copy_to;
  void* free_handle;
  int64_t flags;
  void* opaque;
} Delegate;

static int prepare(void* context, Delegate* self) { return 0; }

static Delegate only = {0, prepare, 0, 0, 0, 0, 0};

void* tflite_plugin_create_delegate(char** keys, char** values, size_t count, void (*report)(const char*)) {
  for (size_t i = 0; i < count; i++) {
    if (!strcmp(keys[i], "device") && strcmp(values[i], "here")) {
      char words[200];
      snprintf(words, sizeof words, "no device called %s\n", values[i]);
      report(words);
      return 0;
    }
  }
  return &only;
}

void tflite_plugin_destroy_delegate(void* delegate) {}
