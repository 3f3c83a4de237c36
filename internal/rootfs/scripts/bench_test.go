package scripts

import "testing"

// BenchmarkAccount is the cost of one typical script with its digest; an
// image has some dozens.
func BenchmarkAccount(b *testing.B) {
	s := postinst(`case "$1" in
configure)
	if ! getent passwd hello >/dev/null; then adduser --quiet --system --group hello; fi
	[ -d /var/lib/hello ] || mkdir /var/lib/hello
	for i in hello hullo; do update-alternatives --install /usr/bin/$i $i /usr/lib/hello/$i 10; done
	;;
*) exit 1 ;;
esac
if [ -x /etc/init.d/hello ]; then update-rc.d hello defaults >/dev/null; invoke-rc.d hello start || exit 1; fi
`)
	b.ReportAllocs()
	for b.Loop() {
		if res := Account([]Script{s}, nil); len(res.Unknown) > 0 {
			b.Fatal(res.Unknown[0].Why)
		}
	}
}
