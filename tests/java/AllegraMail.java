import java.io.*;
import java.nio.charset.StandardCharsets;
import java.util.*;
import javax.mail.Service;
import javax.mail.Session;
import javax.naming.Context;
import javax.naming.ldap.InitialLdapContext;

/**
 * Connects to mail servers and directories as Allegra's ancestor (Track+ 5.1) does, one line of standard input for each:
 * home, mode, protocol, host, port, user and password, with tabs between; and answers with one line: OK, or the exceptions.
 *
 * What counts is what it sets and when: `javax.net.ssl.trustStore` alone, no password, and the default socket factory takes it up.
 * Two things that the ancestor has are left to the options of the JVM, since its sessions read the system's properties too:
 * `mail.<protocol>.ssl.protocols`, where it allows SSLv3 and TLSv1 alone, and `mail.<protocol>.socketFactory.fallback`, which it
 * leaves true for IMAP and POP3.
 */
public final class AllegraMail {
    private static final String STORE = "javax.net.ssl.trustStore", FACTORY = "javax.net.ssl.SSLSocketFactory";

    public static void main(String[] args) throws IOException {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        PrintStream out = new PrintStream(System.out, true, "UTF-8");
        for (String line; (line = in.readLine()) != null; ) {
            String[] words = line.split("\t", -1);
            String answer;
            try {
                if (words[2].equals("ldap")) directory(words); else mail(words);
                answer = "OK";
            } catch (Exception failed) {
                answer = chain(failed);
            }
            out.println(answer);
        }
    }

    private static void mail(String[] words) throws Exception {
        String mode = words[1], protocol = words[2], host = words[3], prefix = "mail." + protocol + ".";
        boolean smtp = protocol.equals("smtp"), starttls = !mode.equals("SSL");
        // Sending begins with properties of its own, fetching changes those of the system and leaves them so.
        Properties properties = smtp ? new Properties(System.getProperties()) : System.getProperties();
        System.clearProperty(STORE);
        properties.remove(prefix + "socketFactory.class");
        if (starttls) {
            properties.setProperty(prefix + "starttls.enable", "true");
            if (mode.equals("TLS")) properties.setProperty(prefix + "starttls.required", "true");
        } else {
            properties.setProperty(prefix + "socketFactory.class", FACTORY);
            if (smtp) properties.setProperty(prefix + "socketFactory.fallback", "false");
        }
        if (smtp || !mode.equals("TLS if available")) {
            File store = new File(new File(words[0], "keystore"), host + ".ks");
            if (store.exists()) System.setProperty(STORE, store.getPath());
        }
        Session session = Session.getInstance(properties);
        Service service = smtp ? session.getTransport("smtp") : session.getStore(protocol);
        service.connect(host, Integer.parseInt(words[4]), smtp ? null : words[5], smtp ? null : words[6]);
        service.close();
    }

    private static void directory(String[] words) throws Exception {
        System.setProperty(STORE, new File(new File(words[0], "keystore"), "trackplus.ks").getPath()); // also if it is not there
        Hashtable<String, String> environment = new Hashtable<>();
        environment.put(Context.INITIAL_CONTEXT_FACTORY, "com.sun.jndi.ldap.LdapCtxFactory");
        environment.put(Context.PROVIDER_URL, "ldaps://" + words[3] + ":" + words[4]);
        environment.put("com.sun.jndi.ldap.connect.timeout", "10000");
        environment.put(Context.SECURITY_AUTHENTICATION, "simple");
        environment.put(Context.SECURITY_PRINCIPAL, words[5]);
        environment.put(Context.SECURITY_CREDENTIALS, words[6]);
        new InitialLdapContext(environment, null).close();
    }

    private static String chain(Throwable failed) {
        StringJoiner causes = new StringJoiner("\t");
        for (Throwable each = failed; each != null; each = each.getCause())
            causes.add(each.getClass().getName() + ": " + String.valueOf(each.getMessage()).replaceAll("\\s+", " "));
        return causes.toString();
    }
}
