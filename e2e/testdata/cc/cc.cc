// Run inside images; says what is wrong with them. It does without <iostream>,
// whose start-up symbol is newer than the oldest release tested.
#include <clocale>
#include <cstdio>
#include <exception>
#include <future>
#include <locale>
#include <map>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <omp.h>

static int wrong;

static void check(const char *what, bool ok) {
	if (!ok) {
		wrong++;
		std::printf("wrong: %s\n", what);
	}
}

// An exception thrown in a thread and caught in the one that waits for it.
static void exceptions() {
	std::exception_ptr caught;
	std::thread([&] {
		try {
			throw std::runtime_error("from a thread");
		} catch (...) {
			caught = std::current_exception();
		}
	}).join();
	try {
		if (caught)
			std::rethrow_exception(caught);
		check("an exception was kept", false);
	} catch (const std::exception &e) {
		check("what()", std::string(e.what()) == "from a thread");
	}
	auto f = std::async(std::launch::async, []() -> int { throw std::out_of_range("in a future"); });
	try {
		f.get();
		check("an exception came out of the future", false);
	} catch (const std::out_of_range &) {
	}
}

static void threads() {
	std::mutex m;
	std::map<int, std::string> seen;
	std::vector<std::thread> all;
	for (int i = 0; i < 8; i++)
		all.emplace_back([&, i] {
			std::lock_guard<std::mutex> held(m);
			seen[i] = std::string(static_cast<size_t>(i), 'x');
		});
	for (auto &t : all)
		t.join();
	check("eight threads", seen.size() == 8 && seen[7].size() == 7);
}

static void openmp() {
	long long sum = 0;
	int most = 0;
#pragma omp parallel for reduction(+ : sum) reduction(max : most) num_threads(4)
	for (long i = 1; i <= 100000; i++) {
		sum += i;
		most = omp_get_num_threads();
	}
	check("parallel sum", sum == 5000050000LL);
	check("four threads", most == 4);
}

static void locales() {
	try {
		std::locale l("C.UTF-8");
		check("name of the locale", l.name() == "C.UTF-8");
		check("upper case", std::toupper(L'\u00e9', l) == L'\u00c9');
	} catch (const std::exception &e) {
		check("locale C.UTF-8", false);
	}
}

int main() {
	exceptions();
	threads();
	openmp();
	locales();
	if (wrong)
		return 1;
	std::puts("all well");
}
