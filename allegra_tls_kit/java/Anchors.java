import java.io.PrintStream;
import java.nio.file.Files;
import java.nio.file.Paths;
import java.security.MessageDigest;
import java.security.cert.X509Certificate;
import java.util.Base64;
import javax.net.ssl.X509TrustManager;

/**
 * Says which certificates this JVM's default trust manager trusts with a store.
 *
 * <p>The store is the file named by the only argument, read as JSSE reads {@code javax.net.ssl.trustStore} without a password
 * property. Writes one line for each certificate: its SHA-256 in Base64. Where the store cannot be read: {@code F} and the message in
 * Base64.
 */
public final class Anchors {
    private Anchors() {}

    public static void main(String[] arguments) throws Exception {
        PrintStream out = new PrintStream(System.out, false, "US-ASCII");
        Object manager = JvmVerdicts.trustManager(Files.readAllBytes(Paths.get(arguments[0])));
        if (manager instanceof Exception) {
            out.println(JvmVerdicts.refused(manager.toString()));
        } else {
            for (X509Certificate certificate : ((X509TrustManager) manager).getAcceptedIssuers()) {
                byte[] digest = MessageDigest.getInstance("SHA-256").digest(certificate.getEncoded());
                out.println(Base64.getEncoder().encodeToString(digest));
            }
        }
        out.flush();
    }
}
