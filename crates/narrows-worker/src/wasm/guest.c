// The guest: QuickJS-ng as a module of WebAssembly, with what the session needs of a realm and
// nothing else. It imports no clock and no chance: time, chance and all that leaves are the host's,
// in the functions of the module `host`. `cargo xtask guest` builds it.
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "quickjs.h"

// What takes the place of an operating system, but for the time zone, which is the host's.
#define localtime_r localtime_r_utc
#include "shim.c"
#undef localtime_r

#define EXPORT(name) __attribute__((export_name(#name)))
#define IMPORT(name) __attribute__((import_module("host"), import_name(#name)))
#define LIBM(name) __attribute__((import_module("libm"), import_name(#name)))

typedef const char *text;

// --- what the host does; below zero: it refuses, see `refused`

IMPORT(call) int host_call(text server, size_t, text tool, size_t, text full, size_t, text args, size_t);
IMPORT(log) void host_log(int level, text line, size_t);
IMPORT(progress) void host_progress(double fraction, text message, size_t);
IMPORT(show) int host_show(text json, size_t);
IMPORT(disk) int host_disk(double bytes, double entries);
IMPORT(timer) int host_timer(double delay);
IMPORT(again) void host_again(int id, double delay);
IMPORT(untimer) void host_untimer(int id);
IMPORT(now) double host_now(void);
IMPORT(elapsed) double host_elapsed(void);
IMPORT(random) double host_random(void);
IMPORT(refusal) size_t host_refusal(char *message, size_t);
IMPORT(interrupted) int host_interrupted(void);
IMPORT(zone) int host_zone(long long seconds);

// --- numbers: the host's C library, so that both engines give the same last digit

#define ONE(name)                                          \
    LIBM(name) double libm_##name(double);                 \
    double name(double x) { return libm_##name(x); }
#define TWO(name)                                          \
    LIBM(name) double libm_##name(double, double);         \
    double name(double x, double y) { return libm_##name(x, y); }
ONE(sin) ONE(cos) ONE(tan) ONE(asin) ONE(acos) ONE(atan) ONE(sinh) ONE(cosh) ONE(tanh) ONE(asinh)
ONE(acosh) ONE(atanh) ONE(exp) ONE(expm1) ONE(log) ONE(log1p) ONE(log2) ONE(log10) ONE(cbrt)
TWO(pow) TWO(atan2) TWO(hypot)

// --- time: the prelude asks the host; what is left asks for nothing that a program can see

double __rquickjs_host_now_us(void) { return 0; }

struct tm *localtime_r(const time_t *restrict seconds, struct tm *restrict parts) {
    memset(parts, 0, sizeof(*parts));
    parts->__tm_gmtoff = host_zone(*seconds);
    return parts;
}

// --- memory: QuickJS counts what its blocks really take

size_t malloc_usable_size(void *block);

static void *grow_zeroed(void *o, size_t count, size_t size) { (void)o; return calloc(count, size); }
static void *grow(void *o, size_t size) { (void)o; return malloc(size); }
static void shrink(void *o, void *block) { (void)o; free(block); }
static void *regrow(void *o, void *block, size_t size) { (void)o; return realloc(block, size); }
static size_t usable(const void *block) { return malloc_usable_size((void *)block); }

static const JSMallocFunctions memory = {grow_zeroed, grow, shrink, regrow, usable};

// --- the realm

enum { UNHEARD_MAX = 8, TEXTS = 3, REFUSAL_BYTES = 256 };

static JSRuntime *rt;
static JSContext *ctx;
static JSClassID host_class;
static JSValue kit_bind, kit_settle, kit_fire, kit_finish, kit_describe, kit_define;
static JSValue compiled, main_promise, thrown;
static struct { JSValue promise, error; } unheard[UNHEARD_MAX];
static int unheard_count;

// What the last function gave: texts that are valid until the next one is called.
static struct { text at; size_t length; } given[TEXTS];

// 0: it went well; 1: it threw, and `thrown` holds what.
static int outcome(JSValue value) {
    if (!JS_IsException(value)) {
        JS_FreeValue(ctx, value);
        return 0;
    }
    JS_FreeValue(ctx, thrown);
    thrown = JS_GetException(ctx);
    return 1;
}

static int keep(JSValue *slot, JSValue value) {
    if (JS_IsException(value)) return outcome(value);
    JS_FreeValue(ctx, *slot);
    *slot = value;
    return 0;
}

static void give(int place, JSValueConst value) {
    if (given[place].at) JS_FreeCString(ctx, given[place].at);
    given[place].at = JS_ToCStringLen(ctx, &given[place].length, value);
    // Without memory there is no text: the host sees a null.
    if (!given[place].at) JS_FreeValue(ctx, JS_GetException(ctx));
}

// --- the functions that the prelude is called with

typedef enum {
    CALL, LOG, PROGRESS, SHOW, DISK, TIMER, AGAIN, UNTIMER, NOW, ELAPSED, RANDOM, FUNCTIONS
} HostFunction;

static const text names[FUNCTIONS] = {
    "call", "log", "progress", "show", "disk", "timer", "again", "untimer", "now", "elapsed", "random",
};

static JSValue refused(int kind) {
    char message[REFUSAL_BYTES];
    message[host_refusal(message, sizeof(message) - 1)] = 0;
    switch (kind) {
        case -1: return JS_ThrowInternalError(ctx, "%s", message);
        case -2: return JS_ThrowTypeError(ctx, "%s", message);
        default: return JS_ThrowRangeError(ctx, "%s", message);
    }
}

static text kind_of(JSValueConst value) {
    if (JS_IsUndefined(value)) return "undefined";
    if (JS_IsNull(value)) return "null";
    if (JS_IsBool(value)) return "bool";
    return JS_IsNumber(value) ? "float" : "object";
}

// The text of an argument, which must be a string. Nothing is converted: that would run code.
static text string(JSValueConst value, size_t *length) {
    if (JS_IsString(value)) return JS_ToCStringLen(ctx, length, value);
    JS_ThrowTypeError(ctx, "Error converting from js '%s' into type 'string'", kind_of(value));
    return NULL;
}

static JSValue call(JSValueConst *given_args) {
    text parts[4] = {0};
    size_t lengths[4];
    int id = 0, count = 0;
    while (count < 4 && (parts[count] = string(given_args[count], &lengths[count]))) count++;
    if (count == 4) {
        id = host_call(parts[0], lengths[0], parts[1], lengths[1], parts[2], lengths[2], parts[3],
                       lengths[3]);
    }
    for (int i = 0; i < count; i++) JS_FreeCString(ctx, parts[i]);
    if (count < 4) return JS_EXCEPTION;
    return id < 0 ? refused(id) : JS_NewInt32(ctx, id);
}

static JSValue say(HostFunction which, double number, JSValueConst value) {
    size_t length;
    text line = string(value, &length);
    int refusal = 0;
    if (!line) return JS_EXCEPTION;
    if (which == LOG) host_log((int)number, line, length);
    else if (which == PROGRESS) host_progress(number, line, length);
    else refusal = host_show(line, length);
    JS_FreeCString(ctx, line);
    return refusal < 0 ? refused(refusal) : JS_UNDEFINED;
}

static JSValue host_function(JSContext *own, JSValueConst function, JSValueConst this_value,
                             int count, JSValueConst *args, int flags) {
    HostFunction which = (HostFunction)(size_t)JS_GetOpaque(function, host_class) - 1;
    double number = 0, second = 0;
    int id;
    (void)own, (void)this_value, (void)flags;
    // The prelude gives them all; who else could call?
    if (which == CALL) return count == 4 ? call(args) : JS_EXCEPTION;
    if (which == SHOW) return say(which, 0, args[0]);
    if (count > 0 && JS_ToFloat64(ctx, &number, args[0])) return JS_EXCEPTION;
    if ((which == AGAIN || which == DISK) && JS_ToFloat64(ctx, &second, args[1])) return JS_EXCEPTION;
    switch (which) {
        case LOG:
        case PROGRESS: return say(which, number, args[1]);
        case DISK: id = host_disk(number, second); return id < 0 ? refused(id) : JS_UNDEFINED;
        case TIMER: id = host_timer(number); return id < 0 ? refused(id) : JS_NewInt32(ctx, id);
        case AGAIN: host_again((int)number, second); return JS_UNDEFINED;
        case UNTIMER: host_untimer((int)number); return JS_UNDEFINED;
        case NOW: return JS_NewFloat64(ctx, host_now());
        case ELAPSED: return JS_NewFloat64(ctx, host_elapsed());
        default: return JS_NewFloat64(ctx, host_random());
    }
}

// Objects of a class, not C functions: those would stand in a program's stack traces.
static JSValue functions(void) {
    static const JSClassDef class = {"HostFunction", .call = host_function};
    JSValue object = JS_NewObject(ctx);
    JS_NewClassID(rt, &host_class);
    if (JS_NewClass(rt, host_class, &class)) return JS_EXCEPTION;
    for (size_t which = 0; which < FUNCTIONS; which++) {
        JSValue function = JS_NewObjectProtoClass(ctx, JS_NULL, host_class);
        if (JS_IsException(function)) return function;
        JS_SetOpaque(function, (void *)(which + 1));
        if (JS_SetPropertyStr(ctx, object, names[which], function) < 0) return JS_EXCEPTION;
    }
    return object;
}

static int interrupted(JSRuntime *own, void *opaque) {
    (void)own, (void)opaque;
    return host_interrupted();
}

static void track(JSContext *own, JSValueConst promise, JSValueConst error, bool heard, void *opaque) {
    (void)own, (void)opaque;
    if (!heard && unheard_count < UNHEARD_MAX) {
        unheard[unheard_count].promise = JS_DupValue(ctx, promise);
        unheard[unheard_count++].error = JS_DupValue(ctx, error);
    }
    for (int i = 0; heard && i < unheard_count; i++) {
        if (JS_VALUE_GET_PTR(unheard[i].promise) != JS_VALUE_GET_PTR(promise)) continue;
        JS_FreeValue(ctx, unheard[i].promise);
        JS_FreeValue(ctx, unheard[i].error);
        unheard_count--;
        memmove(&unheard[i], &unheard[i + 1], (size_t)(unheard_count - i) * sizeof(unheard[0]));
        i--;
    }
}

static JSValue script(text code, size_t length, text name) {
    return JS_Eval(ctx, code, length, name, JS_EVAL_TYPE_GLOBAL | JS_EVAL_FLAG_STRICT);
}

static JSValue invoke(JSValueConst function, int count, JSValue *args) {
    JSValue value = JS_Call(ctx, function, JS_UNDEFINED, count, args);
    for (int i = 0; i < count; i++) JS_FreeValue(ctx, args[i]);
    return value;
}

// --- before a program comes

EXPORT(setup) int setup(size_t stack_bytes) {
    compiled = main_promise = thrown = JS_UNDEFINED;
    kit_bind = kit_settle = kit_fire = kit_finish = kit_describe = kit_define = JS_UNDEFINED;
    rt = JS_NewRuntime2(&memory, NULL);
    if (!rt) return 1;
    JS_SetMaxStackSize(rt, stack_bytes);
    ctx = JS_NewContext(rt);
    return ctx == NULL;
}

EXPORT(prelude) int prelude(text code, size_t length) {
    JSValue function = script(code, length, "prelude.js"), host, kit;
    if (JS_IsException(function)) return outcome(function);
    host = functions();
    if (JS_IsException(host)) return outcome(host);
    kit = invoke(function, 1, &host);
    JS_FreeValue(ctx, function);
    if (JS_IsException(kit)) return outcome(kit);
    kit_bind = JS_GetPropertyStr(ctx, kit, "bind");
    kit_settle = JS_GetPropertyStr(ctx, kit, "settle");
    kit_fire = JS_GetPropertyStr(ctx, kit, "fire");
    kit_finish = JS_GetPropertyStr(ctx, kit, "finish");
    kit_describe = JS_GetPropertyStr(ctx, kit, "describe");
    kit_define = JS_GetPropertyStr(ctx, kit, "define");
    return outcome(kit);
}

// More globals, from a function of the global object and the prelude's `define`.
EXPORT(extend) int extend(text code, size_t length) {
    JSValue function = script(code, length, "more.js"), args[2], value;
    if (JS_IsException(function)) return outcome(function);
    args[0] = JS_GetGlobalObject(ctx);
    args[1] = JS_DupValue(ctx, kit_define);
    value = invoke(function, 2, args);
    JS_FreeValue(ctx, function);
    return outcome(value);
}

// Evaluates a script of the host's own and gives its text.
EXPORT(ask) int ask(text code, size_t length) {
    JSValue value = script(code, length, "ask.js");
    if (!JS_IsException(value)) give(0, value);
    return outcome(value);
}

// The realm is as every program finds it. `headroom` bytes are taken from the host now, so that a
// short run does not ask for memory piece by piece.
EXPORT(ready) void ready(size_t gc_bytes, size_t headroom) {
    JS_RunGC(rt);
    JS_SetGCThreshold(rt, gc_bytes);
    JS_SetInterruptHandler(rt, interrupted, NULL);
    JS_SetHostPromiseRejectionTracker(rt, track, NULL);
    free(malloc(headroom));
}

// --- one program; each gives an outcome if it is not said otherwise

EXPORT(limit) void limit(size_t bytes) { JS_SetMemoryLimit(rt, bytes); }

EXPORT(alloc) void *alloc(size_t bytes) { return malloc(bytes); }
EXPORT(release) void release(void *block) { free(block); }
EXPORT(given) void *what_was_given(void) { return given; }

EXPORT(compile) int compile(text code, size_t length, text name) {
    return keep(&compiled, script(code, length, name));
}

EXPORT(bind) int bind(text name, size_t length) {
    JSValue arg = JS_NewStringLen(ctx, name, length);
    return JS_IsException(arg) ? outcome(arg) : outcome(invoke(kit_bind, 1, &arg));
}

EXPORT(input) int input(text json, size_t length, text name) {
    JSValue value = JS_ParseJSON(ctx, json, length, "<input>"), global;
    if (JS_IsException(value)) return outcome(value);
    global = JS_GetGlobalObject(ctx);
    int failed = JS_SetPropertyStr(ctx, global, name, value) < 0;
    JS_FreeValue(ctx, global);
    return failed ? outcome(JS_EXCEPTION) : 0;
}

EXPORT(start) int start(void) {
    JSValue arg = JS_DupValue(ctx, compiled);
    return keep(&main_promise, invoke(kit_finish, 1, &arg));
}

// 0: pending, 1: fulfilled, 2: rejected.
EXPORT(state) int state(void) { return (int)JS_PromiseState(ctx, main_promise); }

// The program's value as text, or what it threw.
EXPORT(value) int value(void) {
    JSValue result = JS_PromiseResult(ctx, main_promise);
    if (JS_PromiseState(ctx, main_promise) == JS_PROMISE_REJECTED) {
        JS_FreeValue(ctx, thrown);
        thrown = result;
        return 1;
    }
    give(0, result);
    return outcome(result);
}

// Whether there was a job. What jobs throw is nobody's.
EXPORT(job) int job(void) {
    JSContext *own = ctx;
    int ran = JS_ExecutePendingJob(rt, &own);
    if (ran < 0) JS_FreeValue(ctx, JS_GetException(ctx));
    return ran != 0;
}

EXPORT(fire) int fire(unsigned id, int last) {
    JSValue args[2] = {JS_NewUint32(ctx, id), JS_NewBool(ctx, last)};
    return outcome(invoke(kit_fire, 2, args));
}

EXPORT(settle) int settle(unsigned id, text json, size_t length) {
    JSValue value = JS_ParseJSON(ctx, json, length, "<input>"), args[4];
    if (JS_IsException(value)) return outcome(value);
    args[0] = JS_NewUint32(ctx, id);
    args[1] = JS_TRUE;
    args[2] = value;
    args[3] = JS_NewStringLen(ctx, "", 0);
    return outcome(invoke(kit_settle, 4, args));
}

// A call that failed: `json` is an array of the tool, its arguments and the message.
EXPORT(fail) int fail(unsigned id, text json, size_t length) {
    JSValue parts = JS_ParseJSON(ctx, json, length, "<input>"), args[4];
    if (JS_IsException(parts)) return outcome(parts);
    JSValue about = JS_NewObject(ctx);
    if (JS_IsException(about)) return outcome(about);
    if (JS_SetPropertyStr(ctx, about, "tool", JS_GetPropertyUint32(ctx, parts, 0)) < 0 ||
        JS_SetPropertyStr(ctx, about, "arguments", JS_GetPropertyUint32(ctx, parts, 1)) < 0) {
        return outcome(JS_EXCEPTION);
    }
    args[0] = JS_NewUint32(ctx, id);
    args[1] = JS_FALSE;
    args[2] = about;
    args[3] = JS_GetPropertyUint32(ctx, parts, 2);
    JS_FreeValue(ctx, parts);
    return outcome(invoke(kit_settle, 4, args));
}

// What was thrown last, as name, message and stack. Runs getters of the program's own.
EXPORT(describe) int describe(void) {
    static const text fields[TEXTS] = {"name", "message", "stack"};
    JSValue error = thrown, object;
    thrown = JS_UNDEFINED;
    object = invoke(kit_describe, 1, &error);
    for (int i = 0; i < TEXTS && !JS_IsException(object); i++) {
        JSValue field = JS_GetPropertyStr(ctx, object, fields[i]);
        if (!JS_IsString(field)) return outcome(JS_IsException(field) ? field : JS_EXCEPTION);
        give(i, field);
        JS_FreeValue(ctx, field);
    }
    return outcome(object);
}

// Whether what was thrown last is null, as it is where not even an error could be made.
EXPORT(threw_null) int threw_null(void) { return JS_IsNull(thrown); }

// Puts the next error that nobody awaited where `describe` finds it. Gives whether there was one.
EXPORT(next_unheard) int next_unheard(void) {
    if (unheard_count == 0) return 0;
    JS_FreeValue(ctx, thrown);
    JS_FreeValue(ctx, unheard[0].promise);
    thrown = unheard[0].error;
    unheard_count--;
    memmove(&unheard[0], &unheard[1], (size_t)unheard_count * sizeof(unheard[0]));
    return 1;
}
