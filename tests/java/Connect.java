import java.io.*;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import javax.net.ssl.*;

/** Connects as Allegra does: the default socket factory, whose store is the system property's, opened without a password. */
public final class Connect {
    public static void main(String[] args) throws Exception {
        String scheme = args[0], host = args[1];
        int port = Integer.parseInt(args[2]);
        try (Socket plain = new Socket("127.0.0.1", port)) {
            plain.setSoTimeout(10_000);
            if (!scheme.endsWith("s")) startTls(scheme, plain);
            SSLSocket secure = (SSLSocket) ((SSLSocketFactory) SSLSocketFactory.getDefault()).createSocket(plain, host, port, true);
            if (scheme.startsWith("ldap")) { // JNDI checks the name, JavaMail does not
                SSLParameters parameters = secure.getSSLParameters();
                parameters.setEndpointIdentificationAlgorithm("LDAPS");
                secure.setSSLParameters(parameters);
            }
            secure.startHandshake();
            System.out.println("TRUSTED");
        } catch (SSLException refused) {
            System.out.println("REFUSED " + refused.getMessage());
        }
    }

    private static void startTls(String scheme, Socket socket) throws IOException {
        InputStream in = socket.getInputStream();
        OutputStream out = socket.getOutputStream();
        switch (scheme) {
            case "smtp": reply(in); say(out, "EHLO client.test"); reply(in); say(out, "STARTTLS"); reply(in); break;
            case "imap": line(in); say(out, "a1 STARTTLS"); line(in); break;
            case "pop3": line(in); say(out, "STLS"); line(in); break;
            default:
                byte[] oid = "1.3.6.1.4.1.1466.20037".getBytes(StandardCharsets.US_ASCII);
                out.write(new byte[] {0x30, 0x1d, 2, 1, 1, 0x77, 0x18, (byte) 0x80, 0x16});
                out.write(oid);
                in.read();
                in.readNBytes(in.read());
        }
    }

    private static void reply(InputStream in) throws IOException {
        while (line(in).startsWith("-", 3)) { }
    }

    private static String line(InputStream in) throws IOException {
        StringBuilder text = new StringBuilder();
        for (int c; (c = in.read()) >= 0 && c != '\n'; ) text.append((char) c);
        return text.toString();
    }

    private static void say(OutputStream out, String text) throws IOException {
        out.write((text + "\r\n").getBytes(StandardCharsets.US_ASCII));
        out.flush();
    }
}
