#include <node_api.h>

static napi_value answer(napi_env env, napi_callback_info) {
    napi_value n;
    return napi_create_int32(env, 42, &n) == napi_ok ? n : nullptr;
}

NAPI_MODULE_INIT() {
    napi_value f;
    if (napi_create_function(env, "answer", NAPI_AUTO_LENGTH, answer, nullptr, &f) == napi_ok)
        napi_set_named_property(env, exports, "answer", f);
    return exports;
}
