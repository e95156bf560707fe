/* libglunix.so: see glunix.h. Speaks glunix/msg/client.py, batch.py and parallel.py over the Unix
 * socket of this node's daemon: frames [0, body], bodies MessagePack arrays [tag, field, ...].
 * What it does not know at the end of a message it skips, as every peer does. */
#define _GNU_SOURCE
#include "glunix.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { FRAME_HEAD = 11, BODY_MAX = 8 << 20, DEGREE_MAX = 65536, NAME_MAX_ = 64, TEXT = 512 };

static char reason[TEXT] = "no error";
static int line = -1;
static pid_t owner; /* whose `line` is: a child has its parent's descriptor */
static uint32_t number;
static int my_npid, my_vnn, my_degree;
static double usual = 0.0002; /* seconds that the last barriers took, a running mean */

const char *Glib_ErrorString(void) { return reason; }

__attribute__((format(printf, 1, 2))) static int fail(const char *format, ...) {
    va_list words;
    va_start(words, format);
    vsnprintf(reason, sizeof reason, format, words);
    va_end(words);
    return -1;
}

/* -- writing: small messages of a few fields ---------------------------------------------------- */

struct out {
    uint8_t data[256];
    size_t size;
};

static void put(struct out *out, uint8_t byte) { out->data[out->size++] = byte; }

static void put_begin(struct out *out, int fields, const char *tag) {
    out->size = FRAME_HEAD;
    put(out, (uint8_t)(0x90 | fields));
    put(out, (uint8_t)(0xa0 | strlen(tag)));
    memcpy(out->data + out->size, tag, strlen(tag));
    out->size += strlen(tag);
}

static void put_uint(struct out *out, uint32_t value) {
    put(out, 0xce);
    for (int shift = 24; shift >= 0; shift -= 8) put(out, (uint8_t)(value >> shift));
}

static void put_bool(struct out *out, bool value) { put(out, value ? 0xc3 : 0xc2); }

/* -- reading ------------------------------------------------------------------------------------- */

struct in {
    const uint8_t *at, *end;
    bool bad;
};

static uint64_t take_be(struct in *in, int width) {
    uint64_t value = 0;
    if (in->end - in->at < width) {
        in->bad = true;
        return 0;
    }
    while (width--) value = value << 8 | *in->at++;
    return value;
}

/* What the next thing is: its kind, and its number, or how many bytes or elements follow. */
enum kind { NIL, BOOL, UINT, NEG, FLOAT, BYTES, ARRAY, MAP, BAD };

static enum kind take(struct in *in, uint64_t *value) {
    *value = 0;
    if (in->bad || in->at >= in->end) return in->bad = true, BAD;
    uint8_t byte = *in->at++;
    if (byte < 0x80) return *value = byte, UINT;
    if (byte < 0x90) return *value = byte & 15, MAP;
    if (byte < 0xa0) return *value = byte & 15, ARRAY;
    if (byte < 0xc0) return *value = byte & 31, BYTES;
    if (byte >= 0xe0) return NEG;
    switch (byte) {
    case 0xc0: return NIL;
    case 0xc2: case 0xc3: return *value = byte & 1, BOOL;
    case 0xc4: case 0xd9: return *value = take_be(in, 1), BYTES;
    case 0xc5: case 0xda: return *value = take_be(in, 2), BYTES;
    case 0xc6: case 0xdb: return *value = take_be(in, 4), BYTES;
    case 0xca: return take_be(in, 4), FLOAT;
    case 0xcb: return take_be(in, 8), FLOAT;
    case 0xcc: return *value = take_be(in, 1), UINT;
    case 0xcd: return *value = take_be(in, 2), UINT;
    case 0xce: return *value = take_be(in, 4), UINT;
    case 0xcf: return *value = take_be(in, 8), UINT;
    case 0xd0: case 0xd1: case 0xd2: case 0xd3: return take_be(in, 1 << (byte - 0xd0)), NEG;
    case 0xdc: return *value = take_be(in, 2), ARRAY;
    case 0xdd: return *value = take_be(in, 4), ARRAY;
    case 0xde: return *value = take_be(in, 2), MAP;
    case 0xdf: return *value = take_be(in, 4), MAP;
    }
    return in->bad = true, BAD;
}

/* Over one value with all that is in it. The frame is finite, so is this. */
static void skip(struct in *in) {
    uint64_t left = 1, value;
    while (left-- && !in->bad) {
        enum kind kind = take(in, &value);
        if (kind == BYTES) {
            if (value > (uint64_t)(in->end - in->at)) in->bad = true;
            else in->at += value;
        } else if (kind == ARRAY || kind == MAP) {
            if (value > BODY_MAX) in->bad = true;
            else left += kind == MAP ? 2 * value : value;
        }
    }
}

static uint64_t take_uint(struct in *in) {
    uint64_t value;
    if (take(in, &value) != UINT) in->bad = true;
    return value;
}

static uint64_t take_array(struct in *in) {
    uint64_t value;
    if (take(in, &value) != ARRAY || value > (uint64_t)(in->end - in->at)) in->bad = true;
    return in->bad ? 0 : value;
}

/* A text, cut to `size`. */
static void take_text(struct in *in, char *text, size_t size) {
    uint64_t length;
    if (take(in, &length) != BYTES || length > (uint64_t)(in->end - in->at)) {
        in->bad = true;
        length = 0;
    }
    size_t kept = length < size ? length : size ? size - 1 : 0;
    if (size) {
        memcpy(text, in->at, kept);
        text[kept] = 0;
    }
    if (!in->bad) in->at += length;
}

/* -- the line to the daemon ------------------------------------------------------------------------ */

static int lost(const char *what, int error) {
    if (line >= 0) close(line);
    line = -1;
    return fail("%s: %s", what, error ? strerror(error) : "the daemon closed the line");
}

static int dial(void) {
    if (line >= 0 && owner == getpid()) return 0;
    if (line >= 0) close(line);
    const char *folder = getenv("GLUNIX_DIR"), *node = getenv("GLUNIX_NODE");
    char path[8192], home[4096];
    if (!folder || !*folder) { /* as glunix/config.py, state_folder() */
        const char *user = getenv("HOME");
        snprintf(home, sizeof home, "%s/.glunix", user ? user : "");
        bool shared = geteuid() == 0 || (access("/run/glunix", F_OK) == 0 && access(home, F_OK));
        folder = shared ? "/run/glunix" : home;
    }
    if (!node || !*node || strchr(node, '/')) node = "home";
    snprintf(path, sizeof path, "%s/%s.sock", folder, node);
    line = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (line < 0) return lost("no socket", errno);
    struct sockaddr_un where = {.sun_family = AF_UNIX};
    int holder = -1;
    if (strlen(path) >= sizeof where.sun_path) { /* unix(7): reached through its folder */
        holder = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
        snprintf(path, sizeof path, "/proc/self/fd/%d/%s.sock", holder, node);
    }
    if (strlen(path) < sizeof where.sun_path) memcpy(where.sun_path, path, strlen(path) + 1);
    int found = connect(line, (struct sockaddr *)&where, sizeof where), error = errno;
    if (holder >= 0) close(holder);
    if (found < 0) {
        close(line);
        line = -1;
        if (error == ENOENT || error == ECONNREFUSED)
            return fail("no GLUnix daemon answers in %s (start one: glunix up)", folder);
        return fail("cannot reach the daemon at %s: %s", path, strerror(error));
    }
    owner = getpid();
    return 0;
}

static int say(struct out *out) {
    uint32_t size = (uint32_t)(out->size - FRAME_HEAD);
    uint8_t head[FRAME_HEAD] = {0x92, 0xce, 0, 0, 0, 0, 0xc6};
    for (int i = 0; i < 4; i++) head[7 + i] = (uint8_t)(size >> (24 - 8 * i));
    memcpy(out->data, head, FRAME_HEAD);
    for (size_t at = 0; at < out->size;) {
        ssize_t count = send(line, out->data + at, out->size - at, MSG_NOSIGNAL);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return lost("cannot ask the daemon", errno);
        at += (size_t)count;
    }
    return 0;
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static int receive(uint8_t *data, size_t size, double spin_until) {
    for (size_t at = 0; at < size;) {
        bool spins = now() < spin_until;
        ssize_t count = recv(line, data + at, size - at, spins ? MSG_DONTWAIT : 0);
        if (count > 0) {
            at += (size_t)count;
        } else if (count < 0 && errno == EAGAIN) {
            sched_yield();
        } else if (count == 0 || errno != EINTR) {
            return lost("lost the daemon", count ? errno : 0);
        }
    }
    return 0;
}

/* The answer to `number`, whose tag is `tag`; *body is to be freed. A refusal is the reason. */
static int hear(const char *tag, uint8_t **body, struct in *in, double spin_until) {
    uint8_t head[FRAME_HEAD];
    *body = NULL;
    if (receive(head, sizeof head, spin_until)) return -1;
    struct in size = {head + 7, head + FRAME_HEAD, false};
    size_t length = take_be(&size, 4);
    if (head[0] != 0x92 || head[1] != 0xce || head[6] != 0xc6 || length > BODY_MAX)
        return lost("the daemon speaks another protocol", EPROTO);
    *body = malloc(length ? length : 1);
    if (!*body) return lost("no memory", ENOMEM);
    if (receive(*body, length, spin_until)) return free(*body), *body = NULL, -1;
    *in = (struct in){*body, *body + length, false};
    char found[32];
    uint64_t fields = take_array(in);
    take_text(in, found, sizeof found);
    if (!in->bad && !strcmp(found, "refused")) {
        skip(in); /* request */
        skip(in); /* why */
        take_text(in, reason, sizeof reason);
        if (in->bad) fail("the daemon refuses");
        return free(*body), *body = NULL, -1;
    }
    if (in->bad || fields < 2 || strcmp(found, tag) || take_uint(in) != number || in->bad) {
        free(*body);
        *body = NULL;
        return lost("the daemon speaks another protocol", EPROTO);
    }
    return 0;
}

static int ask(struct out *out, const char *tag, uint8_t **body, struct in *in) {
    return say(out) || hear(tag, body, in, 0) ? -1 : 0;
}

/* -- who am I ---------------------------------------------------------------------------------------- */

int Glib_Initialize(void) {
    if (my_degree && line >= 0 && owner == getpid()) return 0;
    if (dial()) return -1;
    struct out out;
    struct in in;
    uint8_t *body;
    put_begin(&out, 2, "whoami");
    put_uint(&out, ++number);
    if (ask(&out, "member", &body, &in)) return -1;
    my_npid = (int)take_uint(&in);
    my_vnn = (int)take_uint(&in);
    my_degree = (int)take_uint(&in);
    free(body);
    return in.bad ? my_degree = 0, lost("bad answer", EPROTO) : 0;
}

int Glib_GetMyNpid(void) { return Glib_Initialize() ? -1 : my_npid; }
int Glib_GetMyVNN(void) { return Glib_Initialize() ? -1 : my_vnn; }
int Glib_GetMyParDegree(void) { return Glib_Initialize() ? -1 : my_degree; }

/* -- barriers ---------------------------------------------------------------------------------------- */

/* Seconds to poll before sleeping: twice what the last ones took, if that is short (paper 10). */
static double to_spin(void) {
    const char *how = getenv("GLUNIX_WAIT");
    if (!how || !*how || !strcmp(how, "adaptive")) return 2 * usual <= 0.002 ? 2 * usual : 0;
    if (!strcmp(how, "spin")) return 1e9;
    return strcmp(how, "block") ? -1 : 0;
}

int Glib_Barrier(void) {
    double spin = to_spin();
    if (spin < 0) return fail("GLUNIX_WAIT is not block, spin or adaptive");
    if (Glib_Initialize()) return -1;
    struct out out;
    struct in in;
    uint8_t *body;
    double begun = now();
    put_begin(&out, 2, "barrier");
    put_uint(&out, ++number);
    if (say(&out) || hear("passed", &body, &in, begun + spin)) return -1;
    free(body);
    usual += (now() - begun - usual) / 8;
    return 0;
}

/* -- other jobs -------------------------------------------------------------------------------------- */

int Glib_Signal(int npid, int vnn, int signal_number) {
    if (npid < 1) return fail("no job %d", npid);
    if (signal_number < 0 || signal_number > 64) return fail("no signal %d", signal_number);
    if (dial()) return -1;
    struct out out;
    struct in in;
    uint8_t *body;
    put_begin(&out, 5, "kill");
    put_uint(&out, ++number);
    put_uint(&out, (uint32_t)npid);
    if (vnn < 0) put(&out, 0xc0);
    else put_uint(&out, (uint32_t)vnn);
    put_uint(&out, (uint32_t)signal_number);
    if (ask(&out, "done", &body, &in)) return -1;
    int count = (int)take_uint(&in);
    free(body);
    return count;
}

/* JobRow, with what a caller wants of it. */
static int facts(int npid, bool wait, char *state, size_t state_size, char *names,
                 size_t names_size, int *status) {
    if (npid < 1) return fail("no job %d", npid);
    if (dial()) return -1;
    struct out out;
    struct in in;
    uint8_t *body;
    put_begin(&out, 4, "askjob");
    put_uint(&out, ++number);
    put_uint(&out, (uint32_t)npid);
    put_bool(&out, wait);
    if (ask(&out, "facts", &body, &in)) return -1;
    char own_state[NAME_MAX_ + 1];
    take_array(&in);
    skip(&in); /* npid */
    skip(&in); /* uid */
    skip(&in); /* home */
    skip(&in); /* command */
    int degree = (int)take_uint(&in);
    skip(&in); /* transparent */
    take_text(&in, own_state, sizeof own_state);
    skip(&in); /* started */
    skip(&in); /* ended */
    char why[TEXT];
    take_text(&in, why, sizeof why);
    uint64_t rows = take_array(&in);
    size_t used = 0;
    int worst = *why ? 1 : 0;
    if (names_size) *names = 0;
    while (rows-- && !in.bad) {
        uint64_t fields = take_array(&in);
        char node[NAME_MAX_ + 1];
        uint64_t code = 0, signal_number = 0;
        skip(&in); /* vnn: in order */
        take_text(&in, node, sizeof node);
        skip(&in); /* pid */
        skip(&in); /* state */
        if (fields > 4) code = take_uint(&in);
        if (fields > 5) signal_number = take_uint(&in);
        for (uint64_t at = 6; at < fields; at++) skip(&in);
        int one = (int)(signal_number ? 128 + signal_number : code);
        if (one > worst) worst = one;
        if (names_size > used)
            used += (size_t)snprintf(names + used, names_size - used, "%s%s", used ? "\n" : "", node);
    }
    free(body);
    if (in.bad) return lost("bad answer", EPROTO);
    if (state_size) snprintf(state, state_size, "%s", own_state);
    if (status) *status = worst;
    return degree;
}

int Glib_GetState(int npid, char *state, size_t size) {
    return facts(npid, false, state, size, NULL, 0, NULL);
}

int Glib_GetNodes(int npid, char *names, size_t size) {
    return facts(npid, false, NULL, 0, names, size, NULL);
}

int Glib_Wait(int npid) {
    int status = -1;
    return facts(npid, true, NULL, 0, NULL, 0, &status) < 0 ? -1 : status;
}

/* -- new jobs ---------------------------------------------------------------------------------------- */

/* glurun is no child of the caller's, which may wait for its own: a process between them ends at
 * once. What glurun says of the NPID, or its end without one, comes by a pipe. */
static int spawn(const char *option, const char *value, char *const argv[]) {
    if (!argv || !argv[0]) return fail("no command to run");
    if (dial()) return -1; /* glurun would say it, but on standard error */
    size_t words = 0;
    while (argv[words]) words++;
    int told[2];
    if (pipe2(told, O_CLOEXEC)) return fail("no pipe: %s", strerror(errno));
    char where[32];
    snprintf(where, sizeof where, "--npid-fd=%d", told[1]);
    const char **command = calloc(words + 6, sizeof *command);
    if (!command) return close(told[0]), close(told[1]), fail("no memory");
    size_t at = 0;
    command[at++] = "glurun";
    command[at++] = where;
    command[at++] = option;
    command[at++] = value;
    command[at++] = "--";
    memcpy(command + at, argv, words * sizeof *argv);
    pid_t between = fork();
    if (between == 0) {
        if (fork() == 0) {
            fcntl(told[1], F_SETFD, 0);
            execvp("glurun", (char *const *)command);
            dprintf(told[1], "-cannot run glurun: %s", strerror(errno));
        }
        _exit(0);
    }
    free(command);
    close(told[1]);
    if (between > 0)
        while (waitpid(between, NULL, 0) < 0 && errno == EINTR) continue;
    char text[64] = "";
    size_t size = 0;
    for (;;) {
        ssize_t count = between < 0 ? 0 : read(told[0], text + size, sizeof text - 1 - size);
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) break;
        size += (size_t)count;
        if (text[size - 1] == '\n' || size == sizeof text - 1) break;
    }
    close(told[0]);
    if (between < 0) return fail("cannot fork: %s", strerror(errno));
    if (*text == '-') return fail("%s", text + 1);
    if (!size) return fail("glurun could not start the job (it has said why)");
    return atoi(text);
}

int Glib_Spawn(int degree, char *const argv[]) {
    char text[16];
    if (degree < 1) return fail("a job needs at least one process, not %d", degree);
    snprintf(text, sizeof text, "%d", degree);
    return spawn("-n", text, argv);
}

int Glib_CoSpawn(int npid, char *const argv[]) {
    char text[16];
    if (npid < 1) return fail("no job %d", npid);
    snprintf(text, sizeof text, "%d", npid);
    return spawn("--with", text, argv);
}
