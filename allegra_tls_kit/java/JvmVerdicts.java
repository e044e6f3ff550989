import java.io.ByteArrayInputStream;
import java.io.DataInputStream;
import java.io.FileInputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.KeyStore;
import java.security.Principal;
import java.security.cert.Certificate;
import java.security.cert.CertificateException;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Collections;
import java.util.List;
import javax.net.ssl.ExtendedSSLSession;
import javax.net.ssl.SNIServerName;
import javax.net.ssl.SSLEngine;
import javax.net.ssl.SSLEngineResult;
import javax.net.ssl.SSLParameters;
import javax.net.ssl.SSLSession;
import javax.net.ssl.SSLSessionContext;
import javax.net.ssl.TrustManager;
import javax.net.ssl.TrustManagerFactory;
import javax.net.ssl.X509ExtendedTrustManager;

/**
 * Asks this JVM's default trust manager about many chains and stores, in one start.
 *
 * <p>Reads the file named by its only argument (big endian): the magic number, the stores (count, then each with its length), the
 * cases (count, then each: index of the store, server name, endpoint identification, count of certificates, each with its length).
 * Writes one line a case: {@code T}, or {@code F} and the message in Base64. A store is read as JSSE reads
 * {@code javax.net.ssl.trustStore} without a password property. The trust manager is asked through an engine, as in a handshake; the
 * engine is this class, which does nothing but answer the questions about the handshake.
 */
public final class JvmVerdicts extends SSLEngine {
    private static final int MAGIC = 0x41544B31;

    private final Session session;
    private final SSLParameters parameters = new SSLParameters();

    private JvmVerdicts(String host, String identification) {
        super(host.isEmpty() ? null : host, 636);
        session = new Session(getPeerHost());
        if (!identification.isEmpty()) {
            parameters.setEndpointIdentificationAlgorithm(identification);
        }
    }

    public static void main(String[] arguments) throws IOException {
        PrintStream out = new PrintStream(System.out, false, "US-ASCII");
        try (DataInputStream in = new DataInputStream(new FileInputStream(arguments[0]))) {
            if (in.readInt() != MAGIC) {
                throw new IOException("not a file of cases");
            }
            Object[] stores = new Object[in.readInt()];
            for (int i = 0; i < stores.length; i++) {
                stores[i] = trustManager(bytes(in));
            }
            for (int left = in.readInt(); left > 0; left--) {
                out.println(verdict(in, stores));
            }
            if (in.read() != -1) {
                throw new IOException("more bytes than cases");
            }
        }
        out.flush();
    }

    /** Returns the trust manager, or the exception with which the store cannot be read. */
    static Object trustManager(byte[] store) {
        try {
            KeyStore keystore = KeyStore.getInstance(KeyStore.getDefaultType());
            keystore.load(new ByteArrayInputStream(store), null);
            TrustManagerFactory factory = TrustManagerFactory.getInstance("PKIX");
            factory.init(keystore);
            for (TrustManager manager : factory.getTrustManagers()) {
                if (manager instanceof X509ExtendedTrustManager) {
                    return manager;
                }
            }
            return new IllegalStateException("this JVM has no X509ExtendedTrustManager");
        } catch (Exception e) {
            return e;
        }
    }

    private static String verdict(DataInputStream in, Object[] stores) throws IOException {
        Object manager = stores[in.readInt()];
        JvmVerdicts engine = new JvmVerdicts(text(in), text(in));
        List<byte[]> chain = new ArrayList<>();
        for (int left = in.readInt(); left > 0; left--) {
            chain.add(bytes(in));
        }
        if (manager instanceof Exception) {
            return refused(manager.toString());
        }
        X509Certificate[] certificates = new X509Certificate[chain.size()];
        try {
            CertificateFactory factory = CertificateFactory.getInstance("X.509");
            for (int i = 0; i < certificates.length; i++) {
                certificates[i] = (X509Certificate) factory.generateCertificate(new ByteArrayInputStream(chain.get(i)));
            }
        } catch (CertificateException | RuntimeException e) {
            return refused("Failed to parse server certificates: " + e);
        }
        try {
            ((X509ExtendedTrustManager) manager).checkServerTrusted(certificates, "UNKNOWN", engine);
            return "T";
        } catch (Exception | StackOverflowError e) {
            return refused(String.valueOf(e.getMessage()));
        }
    }

    static String refused(String message) {
        return "F " + Base64.getEncoder().encodeToString(message.getBytes(StandardCharsets.UTF_8));
    }

    private static String text(DataInputStream in) throws IOException {
        return new String(bytes(in), StandardCharsets.UTF_8);
    }

    private static byte[] bytes(DataInputStream in) throws IOException {
        byte[] data = new byte[in.readInt()];
        in.readFully(data);
        return data;
    }

    @Override
    public SSLSession getHandshakeSession() {
        return session;
    }

    @Override
    public SSLParameters getSSLParameters() {
        return parameters;
    }

    @Override
    public SSLSession getSession() {
        return session;
    }

    @Override
    public SSLEngineResult wrap(ByteBuffer[] sources, int offset, int length, ByteBuffer target) {
        throw new UnsupportedOperationException();
    }

    @Override
    public SSLEngineResult unwrap(ByteBuffer source, ByteBuffer[] targets, int offset, int length) {
        throw new UnsupportedOperationException();
    }

    @Override
    public Runnable getDelegatedTask() {
        return null;
    }

    @Override
    public void closeInbound() {}

    @Override
    public boolean isInboundDone() {
        return false;
    }

    @Override
    public void closeOutbound() {}

    @Override
    public boolean isOutboundDone() {
        return false;
    }

    @Override
    public String[] getSupportedCipherSuites() {
        return new String[0];
    }

    @Override
    public String[] getEnabledCipherSuites() {
        return new String[0];
    }

    @Override
    public void setEnabledCipherSuites(String[] suites) {}

    @Override
    public String[] getSupportedProtocols() {
        return new String[0];
    }

    @Override
    public String[] getEnabledProtocols() {
        return new String[0];
    }

    @Override
    public void setEnabledProtocols(String[] protocols) {}

    @Override
    public void beginHandshake() {}

    @Override
    public SSLEngineResult.HandshakeStatus getHandshakeStatus() {
        return SSLEngineResult.HandshakeStatus.NOT_HANDSHAKING;
    }

    @Override
    public void setUseClientMode(boolean mode) {}

    @Override
    public boolean getUseClientMode() {
        return true;
    }

    @Override
    public void setNeedClientAuth(boolean need) {}

    @Override
    public boolean getNeedClientAuth() {
        return false;
    }

    @Override
    public void setWantClientAuth(boolean want) {}

    @Override
    public boolean getWantClientAuth() {
        return false;
    }

    @Override
    public void setEnableSessionCreation(boolean flag) {}

    @Override
    public boolean getEnableSessionCreation() {
        return true;
    }

    /** The session of a TLS 1.3 handshake in progress. */
    private static final class Session extends ExtendedSSLSession {
        /** What a JDK's client offers for signatures in certificates. */
        private static final String[] ALGORITHMS = {
            "SHA256withECDSA", "SHA384withECDSA", "SHA512withECDSA", "Ed25519", "Ed448", "RSASSA-PSS", "SHA256withRSA",
            "SHA384withRSA", "SHA512withRSA", "SHA256withDSA", "SHA224withECDSA", "SHA224withRSA", "SHA224withDSA", "SHA1withECDSA",
            "SHA1withRSA", "SHA1withDSA",
        };

        private final String host;

        Session(String host) {
            this.host = host;
        }

        @Override
        public String[] getLocalSupportedSignatureAlgorithms() {
            return ALGORITHMS.clone();
        }

        @Override
        public String[] getPeerSupportedSignatureAlgorithms() {
            return ALGORITHMS.clone();
        }

        @Override
        public List<SNIServerName> getRequestedServerNames() {
            return Collections.emptyList();
        }

        /** Called since Java 9, which declares it. */
        public List<byte[]> getStatusResponses() {
            return Collections.emptyList();
        }

        @Override
        public String getProtocol() {
            return "TLSv1.3";
        }

        @Override
        public String getPeerHost() {
            return host;
        }

        @Override
        public int getPeerPort() {
            return 636;
        }

        @Override
        public byte[] getId() {
            return new byte[0];
        }

        @Override
        public SSLSessionContext getSessionContext() {
            return null;
        }

        @Override
        public long getCreationTime() {
            return 0;
        }

        @Override
        public long getLastAccessedTime() {
            return 0;
        }

        @Override
        public void invalidate() {}

        @Override
        public boolean isValid() {
            return true;
        }

        @Override
        public void putValue(String name, Object value) {}

        @Override
        public Object getValue(String name) {
            return null;
        }

        @Override
        public void removeValue(String name) {}

        @Override
        public String[] getValueNames() {
            return new String[0];
        }

        @Override
        public Certificate[] getPeerCertificates() {
            return new Certificate[0];
        }

        @Override
        public Certificate[] getLocalCertificates() {
            return null;
        }

        @Override
        public javax.security.cert.X509Certificate[] getPeerCertificateChain() {
            return new javax.security.cert.X509Certificate[0];
        }

        @Override
        public Principal getPeerPrincipal() {
            return null;
        }

        @Override
        public Principal getLocalPrincipal() {
            return null;
        }

        @Override
        public String getCipherSuite() {
            return "TLS_AES_256_GCM_SHA384";
        }

        @Override
        public int getPacketBufferSize() {
            return 0;
        }

        @Override
        public int getApplicationBufferSize() {
            return 0;
        }
    }
}
