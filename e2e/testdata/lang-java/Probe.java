import java.awt.Color;
import java.awt.Font;
import java.awt.Graphics2D;
import java.awt.GraphicsEnvironment;
import java.awt.font.TextLayout;
import java.awt.image.BufferedImage;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.FileInputStream;
import java.lang.management.ManagementFactory;
import java.net.InetAddress;
import java.nio.charset.Charset;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.security.KeyStore;
import java.security.cert.X509Certificate;
import java.time.LocalDateTime;
import java.time.ZoneId;
import java.util.Locale;
import java.util.concurrent.TimeUnit;
import java.util.zip.CRC32;
import javax.imageio.ImageIO;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLException;
import javax.net.ssl.SSLServerSocket;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.TrustManager;
import javax.net.ssl.TrustManagerFactory;
import javax.net.ssl.X509TrustManager;
import javax.sound.sampled.AudioFormat;
import javax.sound.sampled.AudioFileFormat;
import javax.sound.sampled.AudioInputStream;
import javax.sound.sampled.AudioSystem;

/** Says what of Java does not work in an image: Probe VERSION KEYSTORE, a store with one key, password "changeit". */
public class Probe {
    interface Check { void run() throws Exception; }

    static int faults = 0;

    static void check(String name, Check c) {
        try {
            c.run();
        } catch (Throwable e) {
            faults++;
            System.out.println(name + ": " + e);
        }
    }

    static void expect(Object got, Object want) {
        if (!got.equals(want)) {
            throw new AssertionError(got + ", want " + want);
        }
    }

    static KeyStore store(String file) throws Exception {
        KeyStore s = KeyStore.getInstance(KeyStore.getDefaultType());
        try (FileInputStream in = new FileInputStream(file)) {
            s.load(in, "changeit".toCharArray());
        }
        return s;
    }

    static TrustManager[] trust(KeyStore s) throws Exception {
        TrustManagerFactory f = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        f.init(s);
        return f.getTrustManagers();
    }

    /** Sends a byte over TLS to a server with the store's key, as a client that trusts what trust does. */
    static int handshake(KeyStore key, TrustManager[] trust) throws Exception {
        KeyManagerFactory keys = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
        keys.init(key, "changeit".toCharArray());
        SSLContext server = SSLContext.getInstance("TLS");
        server.init(keys.getKeyManagers(), null, null);
        SSLContext client = SSLContext.getInstance("TLS");
        client.init(null, trust, null);
        try (SSLServerSocket listener = (SSLServerSocket) server.getServerSocketFactory().createServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            Thread t = new Thread(() -> {
                try (SSLSocket s = (SSLSocket) listener.accept()) {
                    s.getOutputStream().write(42);
                } catch (Exception e) {
                    // the client says what is wrong
                }
            });
            t.start();
            try (SSLSocket s = (SSLSocket) client.getSocketFactory().createSocket(listener.getInetAddress(), listener.getLocalPort())) {
                return s.getInputStream().read();
            } finally {
                t.join();
            }
        }
    }

    public static void main(String[] args) throws Exception {
        check("version", () -> {
            expect(System.getProperty("java.specification.version"), args[0]);
            expect(System.getProperty("java.version").split("[+-]")[0], System.getenv("JAVA_VERSION"));
            expect(new File(System.getenv("JAVA_HOME"), "bin/java").getCanonicalPath(), new File(System.getProperty("java.home"), "bin/java").getCanonicalPath());
        });
        check("charset", () -> {
            expect(Charset.defaultCharset().name(), "UTF-8");
            expect(System.getProperty("sun.jnu.encoding"), "UTF-8");
            Path p = Paths.get("/tmp/gr\u00fc\u00dfe-\u65e5\u672c.txt");
            Files.write(p, "x".getBytes());
            expect(new File("/tmp").list((d, n) -> n.equals("gr\u00fc\u00dfe-\u65e5\u672c.txt")).length, 1);
            Files.delete(p);
        });
        check("time and locales", () -> {
            expect(ZoneId.systemDefault().normalized().toString(), "Z");
            expect(LocalDateTime.of(2024, 7, 1, 12, 0).atZone(ZoneId.of("America/New_York")).getOffset().getId(), "-04:00");
            expect(String.format(Locale.GERMANY, "%,.2f", 1234.5), "1.234,50");
        });
        check("process", () -> {
            Process p = new ProcessBuilder(System.getProperty("java.home") + "/bin/java", "-version").redirectErrorStream(true).start();
            p.getInputStream().readAllBytes();
            if (!p.waitFor(60, TimeUnit.SECONDS)) {
                throw new AssertionError("java -version does not end");
            }
            expect(p.exitValue(), 0);
            File helper = new File(System.getProperty("java.home"), "lib/jspawnhelper");
            if (!helper.canExecute() || !new File(System.getProperty("java.home"), "lib/jexec").canExecute()) {
                throw new AssertionError(helper + " or jexec cannot be executed");
            }
        });
        check("text to PNG", () -> {
            expect(GraphicsEnvironment.isHeadless(), true);
            BufferedImage image = new BufferedImage(200, 50, BufferedImage.TYPE_INT_RGB);
            Graphics2D g = image.createGraphics();
            for (String family : new String[] {Font.SANS_SERIF, Font.SERIF, Font.MONOSPACED}) {
                Font font = new Font(family, Font.PLAIN, 24);
                g.setColor(Color.WHITE);
                new TextLayout("fi \u00fc\u03b1\u0436 \u0645\u0631", font, g.getFontRenderContext()).draw(g, 5, 30);
                if (font.canDisplayUpTo("ABC\u00e4\u03b1\u0436") != -1) {
                    throw new AssertionError(family + " has no glyphs");
                }
            }
            ByteArrayOutputStream out = new ByteArrayOutputStream();
            for (String format : new String[] {"png", "jpg"}) {
                out.reset();
                if (!ImageIO.write(image, format, out) || out.size() < 500) {
                    throw new AssertionError(format + ": " + out.size() + " bytes");
                }
                BufferedImage back = ImageIO.read(new ByteArrayInputStream(out.toByteArray()));
                int lit = 0;
                for (int x = 0; x < 200; x++) {
                    for (int y = 0; y < 50; y++) {
                        lit += (back.getRGB(x, y) & 0xff) > 128 ? 1 : 0;
                    }
                }
                if (lit < 100) {
                    throw new AssertionError(format + ": " + lit + " bright pixels");
                }
            }
        });
        check("colour", () -> new java.awt.color.ICC_ColorSpace(java.awt.color.ICC_Profile.getInstance(java.awt.color.ColorSpace.CS_PYCC)).toRGB(new float[] {0.5f, 0.5f, 0.5f}));
        check("sound files", () -> {
            AudioFormat format = new AudioFormat(8000, 8, 1, true, false);
            ByteArrayOutputStream out = new ByteArrayOutputStream();
            AudioSystem.write(new AudioInputStream(new ByteArrayInputStream(new byte[800]), format, 800), AudioFileFormat.Type.WAVE, out);
            expect(AudioSystem.getAudioInputStream(new ByteArrayInputStream(out.toByteArray())).getFrameLength(), 800L);
            expect(AudioSystem.getMixerInfo().length >= 0, true);
        });
        check("printers", () -> expect(javax.print.PrintServiceLookup.lookupPrintServices(null, null).length, 0));
        check("smart cards", () -> {
            try {
                javax.smartcardio.TerminalFactory.getDefault().terminals().list();
            } catch (javax.smartcardio.CardException e) {
                // no reader, no daemon
            }
        });
        check("TLS", () -> {
            KeyStore key = store(args[1]);
            expect(handshake(key, trust(key)), 42);
            try {
                handshake(key, null); // trusts the image's authorities
            } catch (SSLException e) {
                return;
            }
            throw new AssertionError("a certificate that nobody trusts was accepted");
        });
        check("trust store", () -> {
            File f = new File(System.getProperty("java.home"), "lib/security/cacerts");
            int n = ((X509TrustManager) trust(null)[0]).getAcceptedIssuers().length;
            if (n < 100) {
                throw new AssertionError(f + " has " + n + " authorities");
            }
            for (X509Certificate c : ((X509TrustManager) trust(null)[0]).getAcceptedIssuers()) {
                c.getSubjectX500Principal();
            }
        });
        check("accounts, management, zip", () -> {
            expect(System.getProperty("user.name").isEmpty(), false);
            expect(ManagementFactory.getRuntimeMXBean().getSpecVersion().isEmpty(), false);
            CRC32 c = new CRC32();
            c.update("x".getBytes());
            expect(c.getValue(), 2363233923L);
        });
        check("preferences", () -> {
            java.util.prefs.Preferences.systemRoot().get("x", "y");
        });
        System.out.println(faults == 0 ? "all well" : faults + " faults");
        System.exit(faults == 0 ? 0 : 1);
    }
}
