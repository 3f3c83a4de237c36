# Asks an https server with what OpenSSL trusts, from Python 2.7.
import sys
import urllib2

sys.stdout.write(urllib2.urlopen(sys.argv[1]).read())
