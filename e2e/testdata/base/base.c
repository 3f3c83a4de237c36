/* Run inside images; says what is wrong with them. Uses the parts of the C
   library that load further files while a program runs, and OpenSSL. Nothing
   here needs a symbol that is newer than the oldest release tested. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <iconv.h>
#include <langinfo.h>
#include <locale.h>
#include <netdb.h>
#include <pthread.h>
#include <pwd.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <wchar.h>
#include <wctype.h>

static int wrong;

#define CHECK(what, ok) do { if (!(ok)) { wrong++; printf("wrong: %s\n", what); } } while (0)

static void utf8(void) {
	wchar_t wide[8];
	CHECK("setlocale C.UTF-8", setlocale(LC_ALL, "C.UTF-8") != NULL);
	CHECK("codeset", strcmp(nl_langinfo(CODESET), "UTF-8") == 0);
	CHECK("mbstowcs", mbstowcs(wide, "\xc3\xa9\xd0\xb6", 8) == 2 && wide[0] == 0xe9 && wide[1] == 0x436);
	CHECK("towupper", towupper(0xe9) == 0xc9 && towupper(0x436) == 0x416);
	CHECK("iswalpha", iswalpha(0x436));
}

static void *leave(void *arg) { pthread_exit(arg); }

static void *hang(void *arg) { for (;;) sleep(1); return arg; }

/* glibc loads libgcc_s.so.1 for both. */
static void threads(void) {
	pthread_t t;
	void *got = NULL;
	CHECK("pthread_create", pthread_create(&t, NULL, leave, &wrong) == 0);
	CHECK("pthread_exit", pthread_join(t, &got) == 0 && got == &wrong);
	CHECK("pthread_create", pthread_create(&t, NULL, hang, NULL) == 0);
	CHECK("pthread_cancel", pthread_cancel(t) == 0 && pthread_join(t, &got) == 0 && got == PTHREAD_CANCELED);
}

static void names(void) {
	struct passwd *p = getpwnam("nonroot");
	CHECK("getpwnam nonroot", p != NULL && p->pw_uid == 65532 && strcmp(p->pw_dir, "/home/nonroot") == 0);
	p = getpwuid(0);
	CHECK("getpwuid 0", p != NULL && strcmp(p->pw_name, "root") == 0);
	struct group *g = getgrnam("staff");
	CHECK("getgrnam staff", g != NULL && g->gr_gid == 50);
	struct servent *s = getservbyname("ntp", "udp");
	CHECK("getservbyname ntp", s != NULL);
	struct protoent *pr = getprotobyname("icmp");
	CHECK("getprotobyname icmp", pr != NULL && pr->p_proto == 1);
	CHECK("getpwnam of nobody known", getpwnam("nosuchuser") == NULL);
}

/* A character set that is a gconv module. */
static void charsets(void) {
	char in[] = "\xa4", out[8] = "";
	char *from = in, *to = out;
	size_t left = 1, room = sizeof out;
	iconv_t cd = iconv_open("UTF-8", "ISO-8859-15");
	CHECK("iconv_open ISO-8859-15", cd != (iconv_t)-1);
	if (cd == (iconv_t)-1)
		return;
	CHECK("iconv", iconv(cd, &from, &left, &to, &room) == 0 && strcmp(out, "\xe2\x82\xac") == 0);
	iconv_close(cd);
}

static void zones(void) {
	time_t summer = 1782907200; /* 2026-07-01 12:00 UTC */
	struct tm *t;
	setenv("TZ", "America/New_York", 1);
	tzset();
	t = localtime(&summer);
	CHECK("America/New_York", t != NULL && t->tm_hour == 8);
	unsetenv("TZ");
	tzset();
	t = localtime(&summer);
	CHECK("local time", t != NULL && t->tm_hour == 12);
}

static void tls(void) {
	void *ssl = dlopen("libssl.so.3", RTLD_NOW);
	CHECK("dlopen libssl.so.3", ssl != NULL);
	if (ssl == NULL) {
		printf("%s\n", dlerror());
		return;
	}
	const void *(*method)(void) = (const void *(*)(void))dlsym(ssl, "TLS_client_method");
	void *(*new)(const void *) = (void *(*)(const void *))dlsym(ssl, "SSL_CTX_new");
	int (*paths)(void *) = (int (*)(void *))dlsym(ssl, "SSL_CTX_set_default_verify_paths");
	int (*load)(void *, const char *, const char *) =
		(int (*)(void *, const char *, const char *))dlsym(ssl, "SSL_CTX_load_verify_locations");
	CHECK("dlsym", method != NULL && new != NULL && paths != NULL && load != NULL);
	if (!method || !new || !paths || !load)
		return;
	void *ctx = new(method());
	CHECK("SSL_CTX_new", ctx != NULL);
	if (ctx == NULL)
		return;
	CHECK("SSL_CTX_set_default_verify_paths", paths(ctx) == 1);
	const char *file = getenv("SSL_CERT_FILE");
	CHECK("SSL_CERT_FILE", file != NULL && load(ctx, file, NULL) == 1);
	/* An engine and a provider lie beside the library. */
	void *crypto = dlopen("libcrypto.so.3", RTLD_NOW);
	CHECK("dlopen libcrypto.so.3", crypto != NULL);
	void *(*provider)(void *, const char *) =
		crypto ? (void *(*)(void *, const char *))dlsym(crypto, "OSSL_PROVIDER_load") : NULL;
	CHECK("legacy provider", provider != NULL && provider(NULL, "legacy") != NULL);
}

int main(void) {
	utf8();
	threads();
	names();
	charsets();
	zones();
	tls();
	if (wrong)
		return 1;
	puts("all well");
	return 0;
}
