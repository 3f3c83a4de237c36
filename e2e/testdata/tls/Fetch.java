import java.io.InputStream;
import java.net.URL;

/** Asks an https server with what the JDK trusts: its lib/security/cacerts. */
public class Fetch {
    public static void main(String[] args) throws Exception {
        try (InputStream in = new URL(args[0]).openStream()) {
            in.transferTo(System.out);
        }
        System.out.flush();
    }
}
