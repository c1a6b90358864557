/* Counts the guest's instructions between two markers, and those that multiply four bytes at once (sdot, udot).
 *
 * The marker is getpriority(0, 0x7ed0): the guest's kernel ignores it, and here it prints and begins again. Counting is
 * inline, for whole translated blocks. QEMU 7.2, plugin API 1; declared here, since Debian ships no qemu-plugin.h.
 * Source of the encodings: Arm Architecture Reference Manual, A64, SDOT and UDOT by vector and by element.
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
enum { QEMU_PLUGIN_INLINE_ADD_U64 = 0 };
typedef void (*translated_cb)(qemu_plugin_id_t, struct qemu_plugin_tb *);
typedef void (*syscall_cb)(qemu_plugin_id_t, unsigned, int64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t,
                           uint64_t, uint64_t, uint64_t);
extern void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t, translated_cb);
extern void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *, int, void *, uint64_t);
extern void qemu_plugin_register_vcpu_syscall_cb(qemu_plugin_id_t, syscall_cb);
extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
extern struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
extern const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *);

__attribute__((visibility("default"))) int qemu_plugin_version = 1;

enum { SYS_GETPRIORITY = 141, MARKER = 0x7ed0 }; /* of arm64 */
static uint64_t all, dots, all_at_marker, dots_at_marker;

static int is_dot(uint32_t word) {
  int by_vector = (word & 0xbfe0fc00) == 0x0e809400 || (word & 0xbfe0fc00) == 0x2e809400;
  int by_element = (word & 0xbfc0f400) == 0x0f80e000 || (word & 0xbfc0f400) == 0x2f80e000;
  return by_vector || by_element;
}

static void on_translated(qemu_plugin_id_t id, struct qemu_plugin_tb *block) {
  (void)id;
  size_t count = qemu_plugin_tb_n_insns(block);
  uint64_t dots_here = 0;
  for (size_t i = 0; i < count; i++) {
    uint32_t word;
    memcpy(&word, qemu_plugin_insn_data(qemu_plugin_tb_get_insn(block, i)), sizeof word);
    dots_here += (uint64_t)is_dot(word);
  }
  qemu_plugin_register_vcpu_tb_exec_inline(block, QEMU_PLUGIN_INLINE_ADD_U64, &all, count);
  if (dots_here) qemu_plugin_register_vcpu_tb_exec_inline(block, QEMU_PLUGIN_INLINE_ADD_U64, &dots, dots_here);
}

static void on_syscall(qemu_plugin_id_t id, unsigned cpu, int64_t number, uint64_t which, uint64_t who, uint64_t a3,
                       uint64_t a4, uint64_t a5, uint64_t a6, uint64_t a7, uint64_t a8) {
  (void)id, (void)cpu, (void)which, (void)a3, (void)a4, (void)a5, (void)a6, (void)a7, (void)a8;
  if (number != SYS_GETPRIORITY || (uint32_t)who != MARKER) return;
  fprintf(stderr, "COUNT all=%llu dot=%llu\n", (unsigned long long)(all - all_at_marker),
          (unsigned long long)(dots - dots_at_marker));
  all_at_marker = all, dots_at_marker = dots;
}

__attribute__((visibility("default"))) int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int argc,
                                                               char **argv) {
  (void)info, (void)argc, (void)argv;
  qemu_plugin_register_vcpu_tb_trans_cb(id, on_translated);
  qemu_plugin_register_vcpu_syscall_cb(id, on_syscall);
  return 0;
}
